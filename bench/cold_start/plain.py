"""A baseline: import and load a model as its model card says, and compute one token. Prints seconds of each stage."""

import json
import sys
import time


def main(model_dir: str) -> None:
    """Times are of this process; what ran before it is for the caller to measure."""
    began = time.perf_counter()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    imported = time.perf_counter()
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    loaded = time.perf_counter()
    model.generate(**tokenizer("Hello", return_tensors="pt"), max_new_tokens=1, do_sample=False)
    stages = {"imports": imported - began, "weights": loaded - imported, "warm-up": time.perf_counter() - loaded}
    print(json.dumps(stages))


if __name__ == "__main__":
    main(sys.argv[1])
