"""Log-probabilities by lm-evaluation-harness: of tokens as they are, or of text, which it encodes itself."""
import time

from peer import SETTINGS, lines_of, report, startup_seconds, use_threads

import logging
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

FILES = SETTINGS["files"]


def of_tokens(requests):
    return [(("", ""), r["context_tokens"], tokens) for r in requests for tokens in r["completions_tokens"]]


def of_text(requests):
    return [
        Instance(request_type="loglikelihood", doc={}, arguments=(r["context"], completion), idx=0)
        for r in requests
        for completion in r["completions"]
    ]


use_threads()
lm = HFLM(
    pretrained=FILES["model"],
    dtype=SETTINGS["dtype"],
    batch_size=SETTINGS["batch"],
    device="cpu",
    **({"peft": FILES["adapter"]} if "adapter" in FILES else {}),
)
requests = lines_of(FILES["input"])
prepare, run = (
    (of_tokens, lm._loglikelihood_tokens) if SETTINGS["form"] == "tokens" else (of_text, lm.loglikelihood)
)
run(prepare(requests[:1]), disable_tqdm=True)  # libraries make up their minds in the first call
prepared = prepare(requests)
startup = startup_seconds()

started = time.perf_counter()
answers = run(prepared, disable_tqdm=True)
seconds = time.perf_counter() - started
work = len(requests)
if SETTINGS["form"] == "tokens":
    work = sum(len(tokens) for r in requests for tokens in r["completions_tokens"])
report(work, seconds, startup, [float(logprob) for logprob, _ in answers])
