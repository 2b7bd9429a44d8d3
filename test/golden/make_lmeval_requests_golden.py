"""What lm-evaluation-harness asks: the requests that its tasks make of rows written for this, which need no model.

    python make_lmeval_requests_golden.py > lmeval-requests.json          lm-eval 0.4.13

Rows hold what tells prompts apart: marks of WikiHow, endings in capitals, choices of 3 to 5 under letters or numbers, white
space around questions, letters that have several upper cases. A dataset's own file is replaced by these rows; everything
else of the task is the harness's.
"""
import json
import os
import sys
import tempfile

import lm_eval
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml


def hellaswag(activity, a, b, endings, label):
    return {"activity_label": activity, "ctx_a": a, "ctx_b": b, "endings": endings, "label": label}


def arc(question, choices, labels, key):
    return {"question": question, "choices": {"text": choices, "label": labels}, "answerKey": key}


def mmlu(question, choices, answer):
    return {"question": question, "choices": choices, "answer": answer}


HELLASWAG = [
    hellaswag("Making tea", "A woman fills a kettle.", "she", ["pours it out.", "waits for it to boil.", "sings.", "leaves."], "1"),
    hellaswag("Home and Garden", "[header] How to mend a fence [title] Find the broken board. [step] Walk along it.", "",
              [" [title] Buy a board. [step] Measure it.", "[substeps] Go home.  Rest.", "Paint [over] it", "Burn [x it."], "0"),
    hellaswag(" Running ", " A man runs. ", "the MAN in the NASA shirt", ["stops  and  rests.", " trips. ", "WINS!", "\u00e9tudie."], "3"),
    hellaswag("Stra\u00dfenbau", "Zwei Arbeiter kommen.", "\u00dfie [pfeifen] laut", ["[a] [b] gehen", "a   b", "[]", "x"], "2"),
    hellaswag("Odd letters", "First.", "\u01c6ungla \u00c9T\u00c9 \u0130STANBUL \u039f\u0394\u039f\u03a3", ["\u00c9t\u00e9", "a", "b", "c"], "0"),
    hellaswag("Line ends", "One [two\nthree] four [five\u2028six] seven", "eight [nine\rten] eleven", ["a\u0085", "\u001cb", "\ufeffc", "d\u00a0"], "0"),
    hellaswag("Emoji", "\U0001f600 smiles.", "\U0001f600 NODS", ["\U0001f44d [\U0001f600]", "no", "yes", "so"], "1"),
]
ARC = [
    arc("Which is a mammal?", ["trout", "whale", "gecko", "robin"], ["A", "B", "C", "D"], "B"),
    arc("How many legs has an insect?", ["4", "6", "8"], ["1", "2", "3"], "2"),
    arc(" A question with spaces around? ", [" iron ", "", "gold\n", "tin", "lead"], ["A", "B", "C", "D", "E"], "E"),
    arc("Two lines:\nwhat is {{ 1 + 1 }}?", ["two", "{{ two }}"], ["A", "B"], "A"),
]
MMLU = [
    mmlu("What is the largest organ?", ["Liver", "Skin", "Heart", "Lung"], 1),
    mmlu("  Spaces around\n ", [" a ", "b\n", "", "d"], 0),
    mmlu("Which follows {{ x }}?\nChoose.", ["A", "B", "C", "D"], 3),
]


def config(folder, name, path, split, rows):
    """The harness's own YAML, with the data set replaced by a local file."""
    cfg = load_yaml(os.path.join(os.path.dirname(lm_eval.__file__), "tasks", path))
    file = os.path.join(folder, f"{name}.jsonl")
    with open(file, "w", encoding="utf-8") as f:
        for row in rows:
            f.write(json.dumps(row) + "\n")
    for key in ("include", "tag", "group"):
        cfg.pop(key, None)
    other = "test_split" if split == "validation" else "validation_split"
    cfg.update(dataset_path="json", dataset_name=None, dataset_kwargs={"data_files": {split: file}}, training_split=None)
    cfg.update({f"{split}_split": split, other: None, "fewshot_split": None, "num_fewshot": 0})
    return cfg


def requests_of(cfg, rows):
    """For each row the context, the continuations and the index of the right one."""
    task = ConfigurableTask(config=cfg)
    task.build_all_requests()
    items = []
    for index, row in enumerate(rows):
        own = sorted((i for i in task.instances if i.doc_id == index), key=lambda i: i.idx)
        contexts = {i.args[0] for i in own}
        assert len(contexts) == 1
        target = task.doc_to_target(own[0].doc)
        items.append({"row": row, "context": contexts.pop(), "continuations": [i.args[1] for i in own], "target": int(target)})
    return items


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HF_DATASETS_CACHE"] = folder
        made = {
            name: requests_of(config(folder, name, path, split, rows), rows)
            for name, path, split, rows in [
                ("hellaswag", "hellaswag/hellaswag.yaml", "validation", HELLASWAG),
                ("arc_easy", "arc/arc_easy.yaml", "test", ARC),
                ("arc_challenge", "arc/arc_challenge.yaml", "test", ARC),
                ("mmlu_anatomy", "mmlu/default/mmlu_anatomy.yaml", "test", MMLU),
            ]
        }
    json.dump({"lm_eval": lm_eval.__version__, "tasks": made}, sys.stdout, indent=1)
    sys.stdout.write("\n")


main()
