import torch

from divrl.generation import encode, sample
from divrl.loading import load_model

PROMPTS = [
    "tom has 3 pens . tom finds 2 more . how many ?",
    "write 4 words about fox :",
    "ann has 9 cups . 2 of them break . it grows 2 times . how many ?",
]


def test_greedy_output_is_that_of_generate(tiny_base):
    model, tokenizer = load_model(str(tiny_base))
    ids = encode(tokenizer, PROMPTS)
    ours = sample(model, ids, 2, max_new_tokens=12, eos_ids=[tokenizer.eos_token_id], temperature=0)
    batch = tokenizer(PROMPTS, return_tensors="pt", padding=True, return_token_type_ids=False)
    theirs = model.generate(**batch, max_new_tokens=12, do_sample=False)[:, batch["input_ids"].shape[1] :]
    for i, row in enumerate(theirs.tolist()):
        end = row.index(tokenizer.eos_token_id) + 1 if tokenizer.eos_token_id in row else len(row)
        assert ours[2 * i] == ours[2 * i + 1] == row[:end]


def test_samples_follow_the_models_distribution_after_rows_were_dropped(tiny_base):
    """The second token's frequencies match the model's own probabilities, also past the point where rows are dropped."""
    model, tokenizer = load_model(str(tiny_base))
    ids = encode(tokenizer, PROMPTS[:1])
    found = sample(model, ids, 4000, max_new_tokens=2, eos_ids=[], generator=torch.Generator().manual_seed(0))
    first = max({row[0] for row in found}, key=lambda t: sum(row[0] == t for row in found))
    with torch.no_grad():
        expected = model(torch.tensor([ids[0] + [first]])).logits[0, -1].softmax(-1)
    seconds = [row[1] for row in found if row[0] == first]
    for token in expected.topk(3).indices.tolist():
        assert abs(seconds.count(token) / len(seconds) - expected[token].item()) < 0.05


def test_end_tokens_lengths_and_seeds(tiny_base):
    model, tokenizer = load_model(str(tiny_base))
    ids = encode(tokenizer, PROMPTS)

    def draw(seed, **options):
        return sample(
            model,
            ids,
            8,
            max_new_tokens=20,
            eos_ids=[tokenizer.eos_token_id],
            generator=torch.Generator().manual_seed(seed),
            **options,
        )

    one = draw(1)
    assert len(one) == 24
    assert one == draw(1)
    assert one != draw(2)
    for row in one:
        assert 1 <= len(row) <= 20
        assert tokenizer.eos_token_id not in row[:-1]
        assert len(row) == 20 or row[-1] == tokenizer.eos_token_id
    assert draw(1, top_k=1) == draw(2, temperature=0)
    assert sample(model, [], 3, max_new_tokens=2, eos_ids=[]) == []


def test_conversations_are_encoded_by_the_chat_template(tiny_base):
    _, tokenizer = load_model(str(tiny_base))
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['content'] }} {% endfor %}{% if add_generation_prompt %}: {% endif %}"
    )
    assert encode(tokenizer, [[{"role": "user", "content": "how many"}]]) == encode(tokenizer, ["how many :"])
