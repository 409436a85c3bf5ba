"""Makes a Llama from random numbers, with its tokenizer: no weights are downloaded.

Usage: make_model.py FOLDER LAYERS

Its words are noise, its timing is that of any Llama of this size. The size is chosen so that one core
takes 5 to 90 ms for a step and 0.2 to 0.4 ms for a prompt token: well above what Python costs around it.
"""
import pathlib
import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

ROOT = pathlib.Path(__file__).resolve().parents[2]
VOCABULARY = 4096
CONTEXT = 2048
TEMPLATE = ("{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n"
            "{% endfor %}assistant:")


def make_tokenizer():
    """A byte-level BPE, as GPT-2's, that has read this project's documentation. As there, how many
    tokens a number has depends on its digits."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = sorted(map(str, ROOT.glob("docs/**/*.md")))
    tokenizer.train(texts, trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<s>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>",
                                   chat_template=TEMPLATE)


def make_model(layers):
    torch.manual_seed(layers)
    config = LlamaConfig(vocab_size=VOCABULARY, hidden_size=768, intermediate_size=2048,
                         num_hidden_layers=layers, num_attention_heads=12, num_key_value_heads=12,
                         max_position_embeddings=CONTEXT, bos_token_id=0, eos_token_id=1)
    return LlamaForCausalLM(config).to(torch.bfloat16)


def main():
    folder, layers = sys.argv[1], int(sys.argv[2])
    make_tokenizer().save_pretrained(folder)
    make_model(layers).save_pretrained(folder)


if __name__ == "__main__":
    main()
