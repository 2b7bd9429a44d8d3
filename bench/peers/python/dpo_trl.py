"""DPO by TRL's trainer, with its defaults but for what has to be equal: pairs, their order, rates, and the adapter's start."""
import os
import tempfile
import time

from peer import SETTINGS, lines_of, report, startup_seconds, use_threads

import torch
from datasets import Dataset
from peft import LoraConfig, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer

FILES, TRAINING = SETTINGS["files"], SETTINGS["training"]


class TokensTrainer(DPOTrainer):
    """Takes pairs that are tokens already, so that everyone trains on the same."""

    def _prepare_dataset(self, dataset, *rest):
        return dataset


class Losses(TrainerCallback):
    def __init__(self):
        self.losses = []

    def on_log(self, args, state, control, logs=None, **more):
        if "loss" in (logs or {}):
            self.losses.append(float(logs["loss"]))


use_threads()
model = AutoModelForCausalLM.from_pretrained(FILES["model"], dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(FILES["model"])
pairs = lines_of(FILES["input"])
startup = startup_seconds()

started = time.perf_counter()
columns = {"prompt_ids": "prompt_tokens", "chosen_ids": "chosen_tokens", "rejected_ids": "rejected_tokens"}
losses = Losses()
with tempfile.TemporaryDirectory() as folder:
    trainer = TokensTrainer(
        model=model,
        args=DPOConfig(
            output_dir=folder,
            use_cpu=True,
            bf16=SETTINGS["bf16"],
            gradient_checkpointing=SETTINGS["checkpointing"],
            per_device_train_batch_size=TRAINING["batchPairs"],
            num_train_epochs=1,
            train_sampling_strategy="sequential",
            learning_rate=TRAINING["learningRate"],
            lr_scheduler_type="constant",
            weight_decay=TRAINING["weightDecay"],
            max_grad_norm=TRAINING["clip"],
            beta=TRAINING["beta"],
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list([{ours: pair[theirs] for ours, theirs in columns.items()} for pair in pairs]),
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=TRAINING["rank"], lora_alpha=TRAINING["alpha"], target_modules="all-linear", task_type="CAUSAL_LM"
        ),
        callbacks=[losses],
    )
    start = load_file(os.path.join(FILES["start"], "adapter_model.safetensors"))
    unexpected = set_peft_model_state_dict(trainer.model, start).unexpected_keys
    if unexpected:
        raise SystemExit(f"the adapter has tensors that TRL's model lacks: {unexpected[:3]}")
    trainer.train()
report(len(pairs), time.perf_counter() - started, startup, losses.losses)
