#!/usr/bin/env python3
"""What Python's PEFT says of an adapter that valora saved: log p of every token of a few sequences.

Usage: score_with_peft.py MODEL_FOLDER ADAPTER_FOLDER < sequences.json > logprobs.json
MODEL_FOLDER holds config.json and safetensors; sequences.json is a list of lists of token ids. The answer is, for
each sequence, log p(token t+1 | tokens <= t) in float32, on the CPU, one sequence at a time.
"""
import json
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
model = PeftModel.from_pretrained(base, sys.argv[2]).eval()
answers = []
with torch.no_grad():
    for ids in json.load(sys.stdin):
        tokens = torch.tensor([ids])
        logprobs = model(input_ids=tokens).logits[0, :-1].double().log_softmax(-1)
        answers.append(logprobs.gather(1, tokens[0, 1:, None])[:, 0].tolist())
json.dump(answers, sys.stdout)
