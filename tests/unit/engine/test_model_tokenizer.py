import threading

import pytest

from hfmodel_runtime.engine.protocol import ChatMessage
from hfmodel_runtime.engine.tokenizer import ModelTokenizer
from support.tiny_models import BOS, EOS, make_tiny_tokenizer

_TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "[{{ m.role }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)
_TURNS = [
    ChatMessage("system", "Be kind."),
    ChatMessage("user", "Hello"),
    ChatMessage("assistant", "Hi!"),
    ChatMessage("user", "How are you?"),
]


def _tokenizer(*, template: str | None = None, seq2seq: bool = False, model_type: str = "text") -> ModelTokenizer:
    backend = make_tiny_tokenizer(seq2seq=seq2seq, chat_template=template)
    return ModelTokenizer(backend, model_type=model_type, seq2seq=seq2seq)


def test_a_template_forms_the_prompt() -> None:
    tokenizer = _tokenizer(template=_TEMPLATE, model_type="conversational")
    token_ids = tokenizer.encode_chat(_TURNS[1:])
    assert tokenizer.chat_format == "template"
    assert tokenizer.chat_stop == ()
    assert tokenizer.decode(token_ids) == "[user]Hello[assistant]Hi![user]How are you?[assistant]"


def test_a_templates_refusal_is_a_value_error_in_its_words() -> None:
    with pytest.raises(ValueError, match="no system role"):
        _tokenizer(template=_TEMPLATE).encode_chat(_TURNS)


def test_conversational_models_without_a_template_end_every_turn_with_the_end_token() -> None:
    tokenizer = _tokenizer(model_type="conversational")
    token_ids = tokenizer.encode_chat(_TURNS[1:])
    assert tokenizer.chat_format == "dialogpt"
    assert tokenizer.decode(token_ids, skip_special_tokens=False) == f"Hello{EOS}Hi!{EOS}How are you?{EOS}"


@pytest.mark.parametrize("model_type", ["text", "code", "instruction"])
def test_other_models_get_named_turns(model_type: str) -> None:
    tokenizer = _tokenizer(model_type=model_type)
    assert tokenizer.chat_format == "human-assistant"
    assert tokenizer.chat_stop == ("\nHuman:",)
    text = tokenizer.decode(tokenizer.encode_chat(_TURNS))
    assert text == "Be kind.\nHuman: Hello\nAssistant: Hi!\nHuman: How are you?\nAssistant:"


@pytest.mark.parametrize("model_type", ["instruction", "conversational"])
def test_seq2seq_models_get_the_messages_as_lines(model_type: str) -> None:
    tokenizer = _tokenizer(seq2seq=True, model_type=model_type)
    assert tokenizer.chat_format == "plain"
    one = tokenizer.encode_chat([ChatMessage("user", "Translate: hello")])
    assert tokenizer.decode(one, skip_special_tokens=False) == f"Translate: hello{EOS}"
    assert tokenizer.decode(tokenizer.encode_chat(_TURNS)) == "Be kind.\nHello\nHi!\nHow are you?"


def test_an_empty_prompt_is_the_begin_token() -> None:
    tokenizer = _tokenizer()
    assert tokenizer.decode(tokenizer.encode(""), skip_special_tokens=False) == BOS


def test_an_empty_prompt_is_the_end_token_where_there_is_no_begin_token_and_nothing_without_both() -> None:
    backend = make_tiny_tokenizer()
    backend.bos_token = None
    tokenizer = ModelTokenizer(backend, model_type="text", seq2seq=False)
    assert tokenizer.decode(tokenizer.encode(""), skip_special_tokens=False) == EOS
    backend.eos_token = None
    assert tokenizer.encode("") == []


def test_ids_beyond_the_tokenizer_have_no_text() -> None:
    tokenizer = _tokenizer()
    assert tokenizer.decode([*tokenizer.encode("fox"), 100_000, -5]) == "fox"


def test_threads_share_a_tokenizer() -> None:
    tokenizer = _tokenizer()
    texts = [f"text number {number} 🙂" * 20 for number in range(8)]
    results: dict[str, str] = {}

    def work(text: str) -> None:
        for _ in range(20):
            results[text] = tokenizer.decode(tokenizer.encode(text))

    threads = [threading.Thread(target=work, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {text: text for text in texts}
