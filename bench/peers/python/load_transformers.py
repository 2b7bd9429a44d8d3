"""transformers from nothing to the log-probability of one completion."""
from peer import SETTINGS, lines_of, report, startup_seconds, use_threads

import os

import torch
from transformers import AutoModelForCausalLM

FILES = SETTINGS["files"]
use_threads()
where = {"pretrained_model_name_or_path": FILES["model"]}
if FILES["model"].endswith(".gguf"):
    where = {
        "pretrained_model_name_or_path": os.path.dirname(FILES["model"]),
        "gguf_file": os.path.basename(FILES["model"]),
    }
model = AutoModelForCausalLM.from_pretrained(**where, dtype=getattr(torch, SETTINGS["dtype"]))
[request] = lines_of(FILES["input"])
context, [completion] = request["context_tokens"], request["completions_tokens"]
with torch.no_grad():
    logits = model(input_ids=torch.tensor([context + completion])).logits[0, len(context) - 1 : -1]
logprobs = logits.log_softmax(-1).gather(1, torch.tensor(completion)[:, None])
report(1, 0.0, startup_seconds(), [logprobs.sum().item()])
