"""Strings that no product of a shop answers, to calibrate the relevance floor with (hybrid.search.floor)."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from hybrid.text import analysis

#: Of each kind.
_EACH = 60
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "1234567890")
_CONSONANTS, _VOWELS, _ENDS = "bcdfghjklmnpqrstvwz", "aeiou", ("", "", "n", "x", "l", "k", "st", "rp")
#: Words of many trades. A shop sells some of them: those that its catalogue knows are left out.
_LATIN_TRADES = """\
sandwich omelette porridge meatloaf lasagna pancake mayonnaise broccoli cinnamon oregano rhubarb haddock oyster
pretzel lawyer notary mortgage divorce inheritance verdict alimony bankruptcy pension senator parliament
election diplomat embassy cathedral baptism rabbi monastery pilgrimage sermon hymn funeral cemetery midwife
pregnancy vaccine chemotherapy appendicitis insulin dentist surgery physiotherapy kindergarten algebra
philosophy dissertation pharaoh gladiator medieval volcano glacier tsunami hurricane earthquake drought
rhinoceros penguin giraffe tarantula hedgehog octopus sparrow cattle sheep manure harvest wheat barley plough
orchard vineyard forestry carpenter plumber bricklayer scaffold concrete gravel welding locksmith haircut
manicure massage sauna ballet opera sonnet novelist trombone bagpipes orchestra choir archery javelin wrestling
marathon referee regatta fishing trout falconry airport locomotive harbour ferry submarine astronaut telescope
comet"""
_HAN_TRADES = """\
律师 离婚 遗产 抵押 养老金 议会 选举 外交 大使馆 教堂 寺庙 朝圣 葬礼 墓地 怀孕 疫苗 化疗 阑尾炎
胰岛素 牙医 手术 幼儿园 代数 哲学 论文 法老 角斗士 中世纪 火山 冰川 海啸 飓风 地震 干旱 犀牛
企鹅 长颈鹿 刺猬 章鱼 麻雀 牲畜 绵羊 肥料 收割 小麦 大麦 果园 葡萄园 林业 木匠 水管工 砌砖 理发
美甲 按摩 芭蕾 歌剧 小说家 长号 合唱团 射箭 标枪 摔跤 马拉松 裁判 钓鱼 鳟鱼 机场 火车头 港口
渡轮 潜艇 宇航员 彗星 馄饨 油条 豆腐 火锅"""


def strings(titles: Iterable[str], seed: int = 0) -> dict[str, list[str]]:
    """Script -> strings of nonsense, in Latin letters and in each other script that the titles are written in.

    In Latin: runs over the keyboard, random letters, made-up words that can be spoken, and words of many trades. In
    another script: words of titles with their letters in another order, and words of many trades where there are any.
    """
    chance = random.Random(seed)
    words: dict[str, list[str]] = {}
    for title in titles:
        for word in title.split():
            words.setdefault(analysis.script_of(word), []).append(word)
    made = {"Latin": [make(chance) for make in (_run, _letters, _spoken) for _ in range(_EACH)]}
    for script, of_script in words.items():
        if script and script != "Latin":
            made[script] = [_shuffled(chance, of_script) for _ in range(_EACH)]
    for script, trades in (("Latin", _LATIN_TRADES), ("Han", _HAN_TRADES)):
        if script in made:
            made[script] += chance.sample(trades.split(), _EACH)
    return {script: list(dict.fromkeys(of_script)) for script, of_script in made.items()}


def _run(chance: random.Random) -> str:
    """Keys beside each other, in one or two runs."""
    text = ""
    for _ in range(chance.choice((1, 2))):
        row = chance.choice(_ROWS)[:: chance.choice((1, -1))]
        start = chance.randrange(len(row) - 3)
        text += row[start : start + chance.randint(3, 6)]
    return text


def _letters(chance: random.Random) -> str:
    return "".join(chance.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(chance.randint(5, 12)))


def _spoken(chance: random.Random) -> str:
    syllables = (chance.choice(_CONSONANTS) + chance.choice(_VOWELS) for _ in range(chance.randint(2, 4)))
    return "".join(syllables) + chance.choice(_ENDS)


def _shuffled(chance: random.Random, words: Sequence[str]) -> str:
    letters = [letter for letter in "".join(chance.sample(words, min(2, len(words)))) if letter.isalpha()]
    chance.shuffle(letters)
    return "".join(letters[: chance.randint(3, 8)])
