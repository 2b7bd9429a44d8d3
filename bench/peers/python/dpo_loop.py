"""DPO by hand: no padding, one sequence at a time, the reference computed once with the adapter off, float32.

The fastest plain loop that we know of for this machine: nothing is computed for padding, and only the logits of the
response are.
"""
import time

from peer import SETTINGS, lines_of, report, startup_seconds, use_threads

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

FILES, TRAINING = SETTINGS["files"], SETTINGS["training"]


def response_logprob(model, prompt, response):
    logits = model(input_ids=torch.tensor([prompt + response]), logits_to_keep=len(response) + 1).logits
    logprobs = logits[0, :-1].log_softmax(-1)
    return logprobs.gather(1, torch.tensor(response)[:, None]).sum()


def both(model, pair):
    prompt = pair["prompt_tokens"]
    return [response_logprob(model, prompt, pair[side]) for side in ("chosen_tokens", "rejected_tokens")]


use_threads()
base = AutoModelForCausalLM.from_pretrained(FILES["model"], dtype=torch.float32)
model = PeftModel.from_pretrained(base, FILES["start"], is_trainable=True).train()
pairs = lines_of(FILES["input"])
startup = startup_seconds()

started = time.perf_counter()
with torch.no_grad(), model.disable_adapter():
    references = [both(model, pair) for pair in pairs]
parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
optimizer = torch.optim.AdamW(parameters, lr=TRAINING["learningRate"], weight_decay=TRAINING["weightDecay"])
losses = []
for begin in range(0, len(pairs), TRAINING["batchPairs"]):
    batch = range(begin, min(begin + TRAINING["batchPairs"], len(pairs)))
    optimizer.zero_grad()
    total = 0.0
    for at in batch:
        chosen, rejected = both(model, pairs[at])
        margin = (chosen - references[at][0]) - (rejected - references[at][1])
        loss = -torch.nn.functional.logsigmoid(TRAINING["beta"] * margin) / len(batch)
        loss.backward()
        total += loss.item()
    torch.nn.utils.clip_grad_norm_(parameters, TRAINING["clip"])
    optimizer.step()
    losses.append(total)
report(len(pairs), time.perf_counter() - started, startup, losses)
