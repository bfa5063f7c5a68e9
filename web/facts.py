"""What a search found out about itself, in the words of the pages: see hybrid.facts."""

from __future__ import annotations

from hybrid.facts import ENGLISH, Counted, Note, Reason, Wording
from hybrid.searches import Degradation
from web.strings import place, signal_label

CHINESE = Wording(
    reasons={
        "several words": ("查询含多个词", "查询只有一个词"),
        "number of words": ("查询的词比平常多", "查询的词比平常少"),
        "letters a word": ("词比平常长", "词比平常短"),
        "has digits": ("查询含数字", "查询不含数字"),
        "looks like a part number": ("看起来像型号", "看起来不像型号"),
        "words of speech": ("比平常更像一句话", "比平常更不像一句话"),
        "Chinese": ("查询是中文", "查询不是中文"),
        "not Latin": ("使用非拉丁文字", "未使用非拉丁文字"),
        "unknown words": ("目录中没有的词比平常多", "目录中没有的词比平常少"),
        "rarest word": ("最少见的词比平常更常见", "最少见的词比平常更少见"),
        "commonest word": ("最常见的词比平常更常见", "最常见的词比平常更少见"),
        "words in titles": ("词比平常更多出现在标题里", "词比平常更少出现在标题里"),
        "names a category": ("查询含分类名", "查询不含分类名"),
        "names a brand": ("查询含品牌名", "查询不含品牌名"),
        "only category and brand": ("只有分类名或品牌名", "不只有分类名或品牌名"),
        "has a photo": ("有照片", "没有照片"),
        **{f"meaning {axis}": (f"语义第 {axis} 维高于平常", f"语义第 {axis} 维低于平常") for axis in range(1, 5)},
    },
    kinds={
        "single word": "查询是一个词",
        "sentence": "查询是一句话",
        "code": "查询是编号",
        "other script": "查询使用非拉丁文字书写",
        "photo": "用照片搜索",
        "photo and words": "用照片和文字一起搜索",
    },
    because="{signal} {change:+.2f}：{reason}",
    notes={
        "untrained_script": "{signal}：{encoder} 未用该文字（{script}）训练",
        "unknown_words": "{signal}：{encoder} 不认识这些词",
        "not_searched": "{signal}：未搜索，其权重仅为 {value:.2f}",
        "no_match": "{signal}：没有匹配",
        "same_score": "{signal}：所有候选商品得分相同",
        "weak_match": "{signal}：最高得分仅 {value:.2f}，因此降低权重",
        "no_vectors": "{signal}：所选文件未参与搜索，因为此索引的商品没有这类向量",
        "not_asked": "{signal}：所选文件未参与搜索，因为所选的排序方式或权重不使用它",
        "unknown_code": "没有编号为 {code} 的商品",
        "below_floor": "{signal}：余弦低于 {value:.2f} 的商品不够接近，未列入结果",
    },
    words={"matching": "含任一词语的商品", "all": "所有商品"},
    nearest="按{signals}最接近的 {depth} 件",
    beside="、",
    both="{words}，以及{nearest}",
    nothing="无，因为查询中没有可以比较的部分",
)
WORDINGS = {"en": ENGLISH, "zh": CHINESE}

#: Part that failed -> (English, Chinese).
_DEGRADED = {
    "text": ("Meaning is not compared at the moment; words still are.", "暂时无法比较语义，仍按文字匹配。"),
    "text_zh": (
        "Meaning in Chinese is not compared at the moment; words still are.",
        "暂时无法比较中文语义，仍按文字匹配。",
    ),
    "image": (
        "Pictures are not compared at the moment; words still are.",
        "暂时无法比较图片，仍按文字匹配。",
    ),
    "video": (
        "Videos are not compared at the moment; words still are.",
        "暂时无法比较视频，仍按文字匹配。",
    ),
    "audio": (
        "Sounds are not compared at the moment; words still are.",
        "暂时无法比较声音，仍按文字匹配。",
    ),
    "fused": (
        "What was learned of photos and words is left out at the moment.",
        "暂时无法使用图文对齐的结果。",
    ),
    "vectors": (
        "Meaning and pictures are not compared at the moment; words still are.",
        "暂时无法比较语义和图片，仍按文字匹配。",
    ),
    "weights": (
        "Learned weights are unavailable; standard ones are used.",
        "暂时无法使用学习的权重，已改用默认权重。",
    ),
    "busy": ("Many people search at the moment; only words are compared.", "当前搜索的人较多，仅按文字匹配。"),
    "lexical": ("Words are not matched at the moment.", "暂时无法匹配文字。"),
    "code": ("Part numbers are matched as words at the moment.", "暂时按文字匹配商品编号。"),
    "imputation": (
        "Products without a picture may be missing at the moment.",
        "暂时可能缺少没有图片的商品。",
    ),
}


def reason(fact: Reason, lang: str) -> str:
    """Why the weights are what they are."""
    return WORDINGS[lang].reason(fact, lambda name: signal_label(name, lang))


def note(fact: Note, lang: str) -> str:
    """Why a signal was left out or counts less."""
    return WORDINGS[lang].note(fact, lambda name: signal_label(name, lang))


def counted(fact: Counted, lang: str) -> str:
    """The set that the total counts."""
    return WORDINGS[lang].counted(fact, lambda name: signal_label(name, lang).lower())


def degraded(failure: Degradation, lang: str) -> str:
    """A friendly sentence for a part that failed."""
    return _DEGRADED[failure.part][place(lang)]
