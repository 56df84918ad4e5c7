"""The models that are asked, and the expected answers, by transformers' own `generate`.

All of it runs in a process of its own: whoever runs the chaos needs the memory for other things.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from chaos.questions import MODELS, REAL, TINY, Call, Question, questions_of


@dataclass(frozen=True, slots=True)
class Reference:
    """Where each model's files are, and what each question's answer is."""

    folders: dict[str, Path]
    answers: dict[Question, str]


def prepare(folder: Path, *, smollm2: Path) -> Reference:
    """Make the tiny models in `folder`, and ask them and the one whose files lie in `smollm2`."""
    with _process() as process:
        return process.submit(_prepare, folder, smollm2).result()


def fetched(gguf: Path, *, cache: Path) -> Path:
    """The folder in `cache` with the model of this file as a runtime reads it; made where it is not there yet."""
    with _process() as process:
        return process.submit(_fetch, gguf, cache).result()


def _process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def _fetch(gguf: Path, cache: Path) -> Path:
    from hfmodel_runtime.fetch import FetchRequest, fetch

    return fetch(FetchRequest(cache_dir=cache, path=gguf), progress=lambda _: None).path


def _prepare(folder: Path, smollm2: Path) -> Reference:
    from support.tiny_models import make_tiny_model

    folders = {name: make_tiny_model(architecture, folder / name) for name, architecture in TINY.items()}
    folders[REAL] = smollm2
    return Reference(folders, {question: text for name in MODELS for question, text in _answers(name, folders[name])})


def _answers(name: str, folder: Path) -> list[tuple[Question, str]]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)  # quick enough, and threads that wait for each other are slow on a busy machine
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    found = []
    for question in questions_of(name):
        if question.call is Call.CHAT:
            messages = [{"role": "user", "content": question.prompt}]
            prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
        else:
            inputs = tokenizer(question.prompt, return_tensors="pt")
        output = model.generate(**inputs, do_sample=False, max_new_tokens=question.tokens)
        new = output[0, inputs["input_ids"].shape[1] :]
        text = tokenizer.decode(new, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        found.append((question, question.prompt + text if question.call is Call.GENERATE else text))
    return found
