"""What `personalab.writing.similarity` promises."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections import Counter

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalab.blueprint.model import Blueprint
from personalab.errors import RequestError
from personalab.reports.diversity import Diversity, diversity, joined
from personalab.writing import similarity as module
from personalab.writing.similarity import BLOCK, histogram, near_duplicates, repeats, words_of

WORDS = ["calm", "loud", "cook", "night", "dawn", "river", "Oslo", "Lima"]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), min_size=2, max_size=9)


def by_hand(texts: list[str]) -> dict[tuple[int, int], float]:
    """Cosines of TF-IDF vectors, one pair and one word at a time."""
    bags = [Counter(text.casefold().split() or [""]) for text in texts]
    n = len(texts)
    rarity = {w: math.log((1 + n) / (1 + sum(w in bag for bag in bags))) + 1 for bag in bags for w in bag}
    vectors = [{word: count * rarity[word] for word, count in bag.items()} for bag in bags]
    lengths = [math.sqrt(sum(x * x for x in vector.values())) for vector in vectors]
    return {
        (i, j): sum(x * vectors[j].get(word, 0) for word, x in vectors[i].items()) / (lengths[i] * lengths[j])
        for i, j in itertools.combinations(range(n), 2)
    }


@given(TEXTS)
def test_all_three_numbers_equal_those_of_every_pair_by_hand(texts: list[str]) -> None:
    """Maximum, mean and number of duplicates are exact, not estimates."""
    pairs = by_hand(texts)
    found = diversity(texts)
    assert found.max_pairwise_similarity == pytest.approx(max(pairs.values()), abs=1e-12)
    assert found.mean_pairwise_similarity == pytest.approx(sum(pairs.values()) / len(pairs), abs=1e-12)
    assert found.duplicate_pairs == sum(value >= 0.9 - 1e-12 for value in pairs.values())


@given(TEXTS)
def test_the_closest_pair_has_the_greatest_similarity(texts: list[str]) -> None:
    """`closest` points at two texts whose similarity is the maximum, or is None where all similarities are 0."""
    pairs = by_hand(texts)
    found = diversity(texts)
    if found.closest is None:
        assert max(pairs.values()) == 0
    else:
        assert pairs[found.closest] == pytest.approx(found.max_pairwise_similarity, abs=1e-12)


@given(TEXTS, st.floats(0.05, 1))
def test_near_duplicates_are_every_pair_at_or_above_the_threshold(texts: list[str], threshold: float) -> None:
    """No pair above the threshold is missed and none below it is listed."""
    found = {(i, j): value for i, j, value in near_duplicates(texts, threshold)}
    for pair, value in by_hand(texts).items():
        if abs(value - threshold) > 1e-9:
            assert (pair in found) == (value > threshold)
    assert all(value == pytest.approx(by_hand(texts)[pair], abs=1e-12) for pair, value in found.items())


@given(TEXTS)
def test_the_size_of_a_block_changes_nothing(texts: list[str]) -> None:
    """One row at a time and all rows at once find the same."""
    whole, pairs = diversity(texts), near_duplicates(texts, 0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", 1)
        assert diversity(texts) == whole
        assert [pair[:2] for pair in near_duplicates(texts, 0.5)] == [pair[:2] for pair in pairs]


@given(TEXTS, st.floats(0.05, 1))
def test_repeats_are_the_later_ones_of_near_duplicates(texts: list[str], threshold: float) -> None:
    """Whoever comes second in any pair is listed, once."""
    assert repeats(texts, threshold) == sorted({j for _, j, _ in near_duplicates(texts, threshold)})


def test_a_crowd_that_says_the_same_takes_no_memory() -> None:
    """Of 3,000 equal texts all but the first are listed, and not each of their 4.5 million pairs."""
    tracemalloc.start()
    assert repeats(["the very same words"] * 3000) == list(range(1, 3000))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 200 * BLOCK


def test_near_duplicates_come_most_similar_first() -> None:
    """The list is sorted by similarity, then by position."""
    found = near_duplicates(["a b c", "a b d", "a b c", "a b d", "x"], threshold=0.3)
    assert [(i, j) for i, j, _ in found] == [(0, 2), (1, 3), (0, 1), (0, 3), (1, 2), (2, 3)]
    assert found[0][2] == 1.0


def test_equal_texts_are_duplicates_whatever_their_case_and_points() -> None:
    """Case and punctuation do not make two texts different."""
    found = diversity(["He hums.", "HE HUMS!", "She reads"])
    assert (found.duplicate_pairs, found.closest) == (1, (0, 1))
    assert found.max_pairwise_similarity == pytest.approx(1)


def test_texts_without_words_equal_each_other_and_nothing_else() -> None:
    """Two empty texts are duplicates; an empty and a full one share nothing."""
    assert diversity(["", "..."]).duplicate_pairs == 1
    assert diversity(["", "night"]) == Diversity(0.0, 0.0, 0, None)


def test_languages_without_blanks_are_compared_by_character() -> None:
    """Two Japanese sentences that differ in one character are similar, not unrelated."""
    found = diversity(["東京で働く教師", "東京で働く医師", "nothing shared"])
    assert 0.5 < found.max_pairwise_similarity < 1


# Three people who have nothing in common, and a word of the first with one to put in its place.
PEOPLE = {
    "Hindi": (
        (
            "रमेश बनारस के घाट पर चाय बेचता है और शाम को अपने बच्चों को गणित पढ़ाता है।",
            "सुनीता पुणे की एक कंपनी में काम करती हैं, उन्हें पहाड़ों में लंबी यात्राएँ पसंद हैं।",
            "अब्दुल ने पिछले साल ट्रक चलाना छोड़कर जयपुर में छोटी दुकान खोली।",
        ),
        ("चाय", "दूध"),
    ),
    "Tamil": (
        (
            "முருகன் மதுரையில் பூக்கள் விற்கிறார், மாலையில் தன் மகளுக்குப் பாட்டு கற்றுத் தருகிறார்.",
            "லட்சுமி சென்னையில் மென்பொருள் பொறியாளராக வேலை செய்கிறாள், கடற்கரையில் ஓடுவது அவளுக்குப் பிடிக்கும்.",
            "செல்வம் மீன்பிடிப் படகை விற்றுவிட்டு கோவையில் ஒரு சிறிய உணவகம் திறந்தான்.",
        ),
        ("பூக்கள்", "பழங்கள்"),
    ),
    "Bengali": (
        (
            "রহিম ঢাকার পুরনো বাজারে বই বিক্রি করে এবং রাতে কবিতা লেখে।",
            "শর্মিলা কলকাতায় নার্স, ছুটির দিনে নদীর ধারে ছবি আঁকতে ভালোবাসেন।",
            "তপন গ্রামের জমি ছেড়ে চট্টগ্রামে জাহাজ মেরামতের কাজ শিখেছে।",
        ),
        ("বই", "মাছ"),
    ),
    "Thai": (
        (
            "สมชายขายก๋วยเตี๋ยวอยู่ริมคลองและเล่นหมากรุกกับเพื่อนบ้านทุกเย็น",
            "นภาเป็นพยาบาลที่เชียงใหม่ ชอบปลูกกล้วยไม้ในวันหยุด",
            "วิชัยเลิกขับรถบรรทุกแล้วกลับไปทำสวนทุเรียนของพ่อ",
        ),
        ("เพื่อนบ้าน", "พี่ชาย"),
    ),
    "Chinese": (
        (
            "王强在成都开出租车,晚上陪女儿练习小提琴。",
            "李娜是上海一家医院的护士,周末喜欢去山里拍鸟。",
            "老陈卖掉渔船以后,在厦门开了一间很小的面馆。",
        ),
        ("女儿", "儿子"),
    ),
    "Japanese": (
        (
            "田中さんは大阪で寿司職人として働き、夜は娘にピアノを教えている。",
            "美咲は札幌の大学で天文学を学び、冬の星空を写真に撮るのが好きだ。",
            "健一は漁船を売って、福岡の商店街に小さな古本屋を開いた。",
        ),
        ("娘", "息子"),
    ),
    "Arabic": (
        (
            "يبيع خالد الكتب القديمة في سوق بغداد ويكتب الشعر ليلا.",
            "تعمل مريم ممرضة في الدار البيضاء وتحب المشي على الشاطئ صباحا.",
            "ترك يوسف قيادة الشاحنات وفتح مطعما صغيرا قرب الميناء.",
        ),
        ("بغداد", "دمشق"),
    ),
    "Korean": (
        (
            "민수는 부산에서 택시를 몰고 저녁마다 딸에게 바둑을 가르친다.",
            "지영은 서울의 병원에서 일하는 간호사이며 주말에는 산에서 새를 찍는다.",
            "영호는 고깃배를 팔고 전주에 작은 국수집을 열었다.",
        ),
        ("딸에게", "아들에게"),
    ),
    "English": (
        (
            "Ramesh sells tea by the river and teaches his children maths at night.",
            "Nora works as a nurse in Leeds; she loves long walks in the hills.",
            "After years of driving trucks Abdul opened a small shop in Jaipur.",
        ),
        ("tea", "milk"),
    ),
}


@pytest.mark.parametrize(("people", "change"), PEOPLE.values(), ids=PEOPLE)
def test_unrelated_people_are_unlike_and_near_duplicates_alike_in_any_script(
    people: tuple[str, ...], change: tuple[str, str]
) -> None:
    """Words keep their combining marks; where no blanks stand, two characters in a row count."""
    others = [text for texts, _ in PEOPLE.values() for text in texts if text not in people]
    assert diversity(people).max_pairwise_similarity < 0.3
    whole = " ".join(people)
    assert diversity([whole, whole.replace(*change), *others]).max_pairwise_similarity > 0.8
    assert whole.replace(*change) != whole


def test_words_are_what_unicode_says_they_are() -> None:
    """Marks and apostrophes are inside of words, and one letter written in two ways is one."""
    assert words_of("caf\u00e9 I\u2019m") == words_of("cafe\u0301 I'm") == ["caf\u00e9", "i'm"]
    assert words_of("\u0939\u093f\u0928\u094d\u0926\u0940") == ["\u0939\u093f\u0928\u094d\u0926\u0940"]
    assert words_of("\u0e17\u0e35\u0e48") == ["\u0e17\u0e35\u0e48"]  # one character with two marks
    assert words_of("\u2014 \u0964 \u3002 \u30fb") == []


def test_fewer_than_two_texts_are_refused() -> None:
    """One text has no pair, and a bare string is not a list of texts."""
    for texts in ([], ["alone"], "ab"):
        with pytest.raises(RequestError, match="at least two"):
            diversity(texts)


def test_what_is_no_text_is_named() -> None:
    """A missing text is an error that says where it stands."""
    with pytest.raises(RequestError, match="number 1 of the texts is None"):
        diversity(["a", None])  # type: ignore[list-item]


def test_a_threshold_outside_its_range_is_refused() -> None:
    """Similarity 0 would list every pair, and above 1 none."""
    for threshold in (0, 1.1, -1):
        with pytest.raises(RequestError, match="no similarity"):
            near_duplicates(["a", "b"], threshold)


def test_to_dict_has_the_keys_of_the_contract() -> None:
    """Exactly three keys, in the contract's order."""
    wire = diversity(["a b", "a c"]).to_dict()
    assert list(wire) == ["max_pairwise_similarity", "mean_pairwise_similarity", "duplicate_pairs"]


def test_a_histogram_counts_every_pair_once() -> None:
    """Pairs that share no word are in the first bin, equal texts in the last; a bin has its lower end."""
    counts = histogram(["a b", "a b", "c", "d"], 10)
    assert counts.tolist() == [5, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert histogram([f"w{i % 7} x{i % 5} y" for i in range(60)], 20).sum() == 60 * 59 // 2


def test_a_histogram_agrees_with_the_near_duplicates() -> None:
    """What lies in the bins from 0.9 on is what `near_duplicates` lists."""
    texts = [" ".join(f"w{(i // 2 + j) % 40}" for j in range(30)) for i in range(60)]
    assert histogram(texts, 50)[45:].sum() == len(near_duplicates(texts)) > 0


def test_texts_are_joined_and_the_silent_left_out() -> None:
    """Text fields come together a persona, portraits stand in where there are none."""
    bp = Blueprint.from_dict({"domain": "d", "order": [], "fields": [{"name": "a", "kind": "text"}]})
    frame = pd.DataFrame({"a": ["one", None], "portrait": ["x", "y"]}, index=["p", "q"])
    assert joined(frame, bp).to_dict() == {"p": "one"}
    assert joined(frame[["portrait"]], bp).to_dict() == {"p": "x", "q": "y"}
    assert joined(frame[[]], bp).empty
