"""Writes the default model's numbers in the forms that the peers read.

Usage: weights.py GGUF TOKENIZER_JSON OUT
OUT/F32 and OUT/BF16 are transformers' folders, OUT/F32.gguf and OUT/BF16.gguf llama.cpp's files, whose norms stay
float32 as its own converter leaves them. TOKENIZER_JSON is the publisher's: transformers loses a part of it (the
digits' pre-tokenizer) when it reads the GGUF.
"""
import os
import sys

import gguf
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

source, tokenizer_json, out = sys.argv[1:]
where = {"pretrained_model_name_or_path": os.path.dirname(source), "gguf_file": os.path.basename(source)}
model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
read = AutoTokenizer.from_pretrained(**where)
tokenizer = PreTrainedTokenizerFast(
    tokenizer_file=tokenizer_json,
    bos_token=read.bos_token,
    eos_token=read.eos_token,
    pad_token=read.eos_token,
    chat_template=read.chat_template,
)
# transformers refuses to save what it has read from a GGUF, so the numbers move to a model that knows nothing of one.
config = model.config
if hasattr(config, "quantization_config"):
    del config.quantization_config
plain = AutoModelForCausalLM.from_config(config)
plain.load_state_dict(model.state_dict())
for name, dtype in (("F32", torch.float32), ("BF16", torch.bfloat16)):
    plain.to(dtype).save_pretrained(os.path.join(out, name))
    tokenizer.save_pretrained(os.path.join(out, name))

TYPES = gguf.GGMLQuantizationType
FILE_TYPES = {"F32": gguf.LlamaFileType.ALL_F32, "BF16": gguf.LlamaFileType.MOSTLY_BF16}
reader = gguf.GGUFReader(source)


def copy_fields(writer):
    for field in reader.fields.values():
        # The reader's own, and what the writer sets.
        if field.name.startswith("GGUF.") or field.name in ("general.architecture", "general.file_type"):
            continue
        if field.name == "general.quantization_version":
            continue
        kind = field.types[0]
        element = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, element)


for name, file_type in FILE_TYPES.items():
    path = os.path.join(out, f"{name}.gguf")
    writer = gguf.GGUFWriter(path, reader.get_field("general.architecture").contents())
    copy_fields(writer)
    writer.add_file_type(file_type)
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        matrix = len(tensor.shape) > 1
        if name == "BF16" and matrix:
            writer.add_tensor(tensor.name, gguf.quants.quantize(values, TYPES.BF16), raw_dtype=TYPES.BF16)
        else:
            writer.add_tensor(tensor.name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
