#!/usr/bin/env python3
"""Mean hidden states of the tiny models of make_golden.py, computed with transformers in float32.

For every model folder it writes hidden.safetensors:

  prompt_lengths  (B,)        int64, of each row of expected.safetensors' input_ids; the rest of a row is the response
  means           (L+1, B, C) float32, mean over the response's positions of the residual stream after 0 to L layers
  adapter_means   (L+1, B, C) the same with the folder's PEFT adapter

Layer l < L is transformers' hidden_states[l]; the last is what its last layer puts out, before the final norm (the last of
hidden_states is behind it). The mean is taken in float64. Rows without a response (of one token) are left at 0.
Usage: make_hidden_golden.py GOLDEN_DIR
"""
import os, sys
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

ROOT = sys.argv[1]
MODELS = ["llama-tied", "llama3-rope", "mistral-nemo", "olmo2", "qwen2", "qwen3"]


def means_of(model, layers, rows, prompts):
    last = []
    hook = layers[-1].register_forward_hook(lambda _, __, out: last.append(out[0] if isinstance(out, tuple) else out))
    out = torch.zeros(len(layers) + 1, len(rows), model.config.hidden_size)
    with torch.no_grad():
        for i, (ids, prompt) in enumerate(zip(rows, prompts)):
            if prompt == len(ids): continue
            last.clear()
            states = model(input_ids=ids[None], output_hidden_states=True).hidden_states
            for l in range(len(layers) + 1):
                state = last[0] if l == len(layers) else states[l]
                out[l, i] = state[0, prompt:].double().mean(0).float()
    hook.remove()
    return out


for name in MODELS:
    folder = os.path.join(ROOT, name)
    expected = load_file(os.path.join(folder, "expected.safetensors"))
    rows = [ids[:n] for ids, n in zip(expected["input_ids"], expected["lengths"].tolist())]
    prompts = [max(1, len(ids) // 3) for ids in rows]
    # Not from_pretrained: that puts the folder's adapter on.
    config = AutoConfig.from_pretrained(folder)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    model.load_state_dict(load_file(os.path.join(folder, "model.safetensors")), strict=False)
    model.tie_weights()
    with torch.no_grad():
        off = max((model(input_ids=ids[None]).logits[0] - wanted[:len(ids)]).abs().max().item()
                  for ids, wanted in zip(rows, expected["logits"]))
    assert off < 1e-5, f"{name}: logits are off by {off}"
    layers = model.model.layers
    out = {"prompt_lengths": torch.tensor(prompts), "means": means_of(model, layers, rows, prompts)}
    tuned = PeftModel.from_pretrained(model, folder).eval()
    out["adapter_means"] = means_of(tuned, layers, rows, prompts)
    save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(folder, "hidden.safetensors"))
    print(name, tuple(out["means"].shape), prompts)
