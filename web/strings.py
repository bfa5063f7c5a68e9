"""Every word of the page in English and Chinese, and how numbers and prices are written."""

from __future__ import annotations

from collections.abc import Sequence

from hybrid.signals import PRIOR

LANGUAGES = ("en", "zh")
HTML_LANG = {"en": "en", "zh": "zh-Hans"}

#: key -> (English, Chinese)
_TEXT: dict[str, tuple[str, str]] = {
    "app": ("Hybrid", "Hybrid"),
    "tagline": ("Product search by word and by picture", "用文字和图片搜索商品"),
    "skip": ("Skip to results", "跳到结果"),
    "search": ("Search", "搜索"),
    "search_label": ("Search products", "搜索商品"),
    "placeholder": ("Search by words, a photo, or both", "输入文字、上传照片，或两者一起搜索"),
    "clear": ("Clear the search text", "清除搜索文字"),
    "photo_add": ("Add a photo", "添加照片"),
    "photo_camera": ("Take a photo", "拍照"),
    "photo_search": ("Search with photo", "用照片搜索"),
    "photo_yours": ("Your photo", "您的照片"),
    "yours_video": ("Your video", "您的视频"),
    "yours_audio": ("Your sound", "您的声音"),
    "file_added": ("File added", "已添加文件"),
    "file_too_large": ("That file is too large. Please use one below 10 MB.", "文件过大，请使用小于 10 MB 的文件。"),
    "clip_of": ("Video of {title}", "{title} 的视频"),
    "sound_of": ("Sound of {title}", "{title} 的声音"),
    "nearest_at": ("Nearest at {at}", "最相近的画面：{at}"),
    "nearest_picture": ("Picture {n} is the nearest", "第 {n} 张图片最相近"),
    "photo_remove": ("Remove the photo", "移除照片"),
    "photo_drop": ("Drop a photo to search with it", "松开即可用照片搜索"),
    "photo_added": ("Photo added", "已添加照片"),
    "photo_removed": ("Photo removed", "已移除照片"),
    "photo_unreadable": (
        "This file cannot be read as a picture. Try a JPEG, PNG, WebP or HEIC file.",
        "无法读取此图片。请尝试 JPEG、PNG、WebP 或 HEIC 文件。",
    ),
    "photo_start": ("Search with a photo", "用照片搜索"),
    "photo_start_text": ("Drop it here, paste it, or choose a file", "拖放到此处、粘贴，或选择文件"),
    "photo_hint": ("You can also drop or paste a photo, a video or a sound", "也可以拖放或粘贴照片、视频或声音"),
    "index": ("Catalogue", "商品目录"),
    "choose_index": ("Which catalogue do you want to search?", "要搜索哪个商品目录？"),
    "language": ("Language", "语言"),
    "other_language": ("中文", "English"),
    "theme": ("Switch between light and dark", "切换浅色与深色"),
    "start_title": ("Find it by word or by picture.", "用文字或图片，找到它。"),
    "start_text": (
        "Describe what you need, show a photo, or do both. Every result tells you why it is there.",
        "描述您想要的商品，或上传一张照片，也可以两者结合。每个结果都会说明入选的原因。",
    ),
    "start_try": ("Start with", "试试"),
    "browse": ("All products", "全部商品"),
    "results_for": ("Results for", "搜索"),
    "similar": ("Similar products", "相似商品"),
    "like_product": ("Products like", "相似商品："),
    "like_image": ("Products like your photo", "与照片相似的商品"),
    "like_video": ("Products like your video", "与视频相似的商品"),
    "like_audio": ("Products like your sound", "与声音相似的商品"),
    "and_image": ("and your photo", "和您的照片"),
    "and_video": ("and your video", "和您的视频"),
    "and_audio": ("and your sound", "和您的声音"),
    "results": ("Results", "搜索结果"),
    "total_one": ("{n} product", "{n} 件商品"),
    "total_many": ("{n} products", "{n} 件商品"),
    "page_of": ("page {page} of {pages}", "第 {page} 页，共 {pages} 页"),
    "took": ("{n} ms", "{n} 毫秒"),
    "filters": ("Filters", "筛选"),
    "filters_apply": ("Apply filters", "应用筛选"),
    "filters_show": ("Show results", "查看结果"),
    "filters_active": ("Active filters", "当前筛选"),
    "filters_clear": ("Clear all", "全部清除"),
    "filter_remove": ("Remove filter", "移除筛选"),
    "facet_more": ("{n} more", "其余 {n} 项"),
    "range_min": ("From", "最低"),
    "range_max": ("To", "最高"),
    "at_least": ("from {a}", "{a} 起"),
    "at_most": ("up to {b}", "不超过 {b}"),
    "between": ("{a} to {b}", "{a} 至 {b}"),
    "more_than": ("over {a}", "{a} 以上（不含）"),
    "less_than": ("under {b}", "{b} 以下（不含）"),
    "price_words": ("Read from your words: {words}", "来自您输入的文字：{words}"),
    "price_off": ("Search without the price", "不限价格搜索"),
    "zero_price": ("Nothing was found with this price ({price}).", "在此价格内没有找到商品（{price}）。"),
    "yes": ("Yes", "是"),
    "no": ("No", "否"),
    "system": ("Match by", "匹配方式"),
    "system_apply": ("Apply", "应用"),
    "about": ("How these were found", "结果说明"),
    "about_counts": ("The total counts", "总数统计范围"),
    "about_weights": ("Weights", "权重"),
    "about_reasons": ("Why these weights", "为何如此加权"),
    "about_version": ("Weights version", "权重版本"),
    "about_system": ("Method", "方法"),
    "why": ("Why this result", "为什么是它"),
    "why_text": (
        "Pale: the most a signal could add. Solid: what it added.",
        "浅色：该信号最多可贡献的分数；深色：实际贡献。",
    ),
    "why_weight": ("weight", "权重"),
    "why_scaled": ("match", "匹配度"),
    "why_total": ("Score", "总分"),
    "why_imputed": ("nothing to compare: as similar products", "缺少该信息，按相似商品计"),
    "why_typical": ("no value: as the middle of the catalogue", "没有数值，按目录中位数计"),
    "why_missing": ("Nothing to compare here, so it was not counted", "此商品缺少该信息，未计入总分"),
    "score": ("score", "得分"),
    "unit_bm25": ("BM25", "BM25"),
    "unit_cosine": ("cosine", "余弦相似度"),
    "raw": ("raw", "原始分"),
    "out_of_stock": ("Out of stock", "缺货"),
    "before": ("before", "原价"),
    "rating": ("Rating", "评分"),
    "no_picture": ("No picture", "暂无图片"),
    "previous": ("Previous", "上一页"),
    "next": ("Next", "下一页"),
    "pages": ("Pages of results", "结果分页"),
    "page": ("Page", "第"),
    "corrected": ("Showing results for “{also}” too.", "同时显示“{also}”的结果。"),
    "only_typed": ("Search only for “{typed}”", "仅搜索“{typed}”"),
    "degraded": ("Some of the search is resting", "部分搜索功能暂不可用"),
    "degraded_detail": ("Technical reason", "技术原因"),
    "zero_title": ("Nothing matches that", "没有找到匹配的商品"),
    "zero_text": (
        "Check the spelling, use fewer or more general words, or remove a filter.",
        "请检查拼写，减少关键词或使用更通用的词，或移除筛选条件。",
    ),
    "zero_categories": ("The shop has", "本店有"),
    "zero_page": ("There is no such page of these results.", "结果中没有这一页。"),
    "first_page": ("Back to the first page", "返回第一页"),
    "zero_all": ("Show all products", "显示全部商品"),
    "error_title": ("The search did not work", "搜索未成功"),
    "error_503": (
        "The search engine cannot be reached right now. Please try again in a moment.",
        "暂时无法连接搜索引擎，请稍后再试。",
    ),
    "error_404": (
        "This catalogue does not exist, or nothing is indexed yet.",
        "该目录不存在，或尚未建立索引。",
    ),
    "error_413": (
        "That photo is too large. Please use one below 10 MB.",
        "照片过大，请使用小于 10 MB 的照片。",
    ),
    "error_400": ("Something in this search cannot be used.", "搜索内容无效。"),
    "error_500": ("Something unexpected happened. It has been logged.", "发生意外错误，已记录。"),
    "error_offline": (
        "No answer from the shop. Check your connection and try again.",
        "没有收到响应，请检查网络后重试。",
    ),
    "retry": ("Try again", "重试"),
    "loading": ("Searching", "正在搜索"),
    "suggestions": ("Suggestions", "搜索建议"),
    "suggestions_n": ("{n} suggestions, use the up and down keys", "{n} 条建议，用上下键选择"),
    "kind_product": ("product", "商品"),
    "kind_brand": ("brand", "品牌"),
    "kind_category": ("category", "分类"),
    "api_link": ("API description", "API 文档"),
}

STRINGS: dict[str, dict[str, str]] = {
    lang: {key: both[place] for key, both in _TEXT.items()} for place, lang in enumerate(LANGUAGES)
}

#: What the page's script says; sent in a data attribute, since the page has no inline script.
SCRIPT_KEYS = ("photo_added", "photo_removed", "photo_unreadable", "file_added", "file_too_large", "yours_video",
               "yours_audio", "photo_yours", "loading", "suggestions_n",
               "kind_product", "kind_brand", "kind_category")  # fmt: skip

_ROLE_LABELS = {
    "title": ("Name", "名称"),
    "description": ("Description", "描述"),
    "brand": ("Brand", "品牌"),
    "category": ("Category", "分类"),
    "tags": ("Tags", "标签"),
    "color": ("Colour", "颜色"),
    "code": ("Model", "型号"),
    "attributes": ("Features", "属性"),
    "price": ("Price", "价格"),
    "regular_price": ("Price before", "原价"),
    "stock": ("In stock", "有货"),
    "rating": ("Rating", "评分"),
    "date": ("Released", "上市日期"),
}

#: Field names that shops use for what has no role of its own.
_FIELD_LABELS = {
    "in_stock": ("In stock", "有货"),
    "rating": ("Rating", "评分"),
    "material": ("Material", "材质"),
    "pattern": ("Pattern", "图案"),
    "size": ("Size", "尺码"),
    "model": ("Model", "型号"),
    "supplier": ("Supplier", "供应商"),
    "gender": ("Gender", "性别"),
    "season": ("Season", "季节"),
}

#: system -> (name, explanation), each (English, Chinese). "" stands for the index's default.
_SYSTEMS = {
    "": (
        ("Best mix", "智能组合"),
        ("Everything the catalogue offers, combined for you.", "自动结合目录中的全部信号。"),
    ),
    "bm25": (
        ("Words only", "仅文字"),
        ("The words you typed, as written (BM25).", "按输入的词语逐字匹配（BM25）。"),
    ),
    "text": (
        ("Meaning only", "仅语义"),
        ("Products that mean the same in other words.", "换一种说法也能找到。"),
    ),
    "image": (("Picture only", "仅图片"), ("Products whose pictures look alike.", "图片看起来相似的商品。")),
    "video": (("Video only", "仅视频"), ("Products whose videos show what looks alike.", "视频画面相似的商品。")),
    "audio": (("Sound only", "仅声音"), ("Products that sound alike.", "声音相似的商品。")),
    "fused": (
        ("Text and picture as one", "图文合一"),
        ("Words and photos compared in one space that was learned.", "在学习得到的同一空间中比较文字与图片。"),
    ),
    "rrf": (
        ("Mix by rank", "按名次融合"),
        ("Merges the lists by position alone (reciprocal rank fusion).", "只按各列表中的名次融合（RRF）。"),
    ),
    "fixed": (
        ("Mix by score", "按分数融合"),
        ("Adds up the match of each signal with fixed weights.", "用固定权重累加各信号的匹配度。"),
    ),
}

_SIGNALS = {
    "lexical": ("Words", "文字"),
    "lexical.all": ("Words in all text", "全文文字"),
    "lexical.title": ("Words in the title", "标题文字"),
    "lexical.cover": ("Share of the words", "文字覆盖"),
    "lexical.title_cover": ("Share of the words in the title", "标题覆盖"),
    "lexical.phrase": ("Words side by side", "相邻文字"),
    "code": ("Part number", "商品编号"),
    "prior": ("Boost", "加权项"),
    "text": ("Meaning", "语义"),
    "text.title": ("Meaning of the title", "标题语义"),
    "text_zh": ("Meaning · zh", "语义 · 中文"),
    "text_zh.title": ("Meaning of the title · zh", "标题语义 · 中文"),
    "image": ("Picture", "图片"),
    "video": ("Video", "视频"),
    "audio": ("Sound", "音频"),
    "graph": ("Shoppers' habits", "购买关联"),
    "fused": ("Text and picture", "图文"),
}

_CURRENCY = {"USD": "$", "EUR": "€", "GBP": "£", "CNY": "¥", "JPY": "¥", "KRW": "₩", "INR": "₹"}
_NO_CENTS = {"JPY", "KRW"}


def place(lang: str) -> int:
    """Where a language stands in the pairs above."""
    return LANGUAGES.index(lang)


def field_label(path: str, role: str | None, lang: str) -> str:
    """A friendly name of a field: by its own name, by its role, else the name made readable."""
    bare = base_path(path)
    if bare in _FIELD_LABELS:
        return _FIELD_LABELS[bare][place(lang)]
    # Several fields may share a role such as attributes; then only their own names tell them apart.
    if role in _ROLE_LABELS and role not in ("attributes", "tags"):
        return _ROLE_LABELS[role][place(lang)]
    if bare == "tags":
        return _ROLE_LABELS["tags"][place(lang)]
    words = bare.rpartition(".")[2].replace("_", " ").replace("-", " ").strip()
    return words[:1].upper() + words[1:]


def base_path(path: str) -> str:
    """A field's name without its language: `name_zh` is the Chinese sibling of `name`."""
    return path[:-3] if path.endswith(("_zh", ".zh", "_en", ".en")) else path


def path_language(path: str) -> str | None:
    """The language that a field's name states, if any."""
    return path[-2:] if base_path(path) != path else None


def system_choices(systems: Sequence[str], lang: str) -> list[dict[str, str]]:
    """The choices of the system selector, the default first."""
    choices = []
    for name in ("", *systems):
        label, text = _SYSTEMS.get(name, ((name, name), ("", "")))
        choices.append({"name": name, "label": label[place(lang)], "text": text[place(lang)]})
    return choices


def signal_label(name: str, lang: str) -> str:
    """`text.title` is the text signal on the title, `prior.rating` the number of that field."""
    if name in _SIGNALS:
        return _SIGNALS[name][place(lang)]
    kind, _, part = name.partition(".")
    label = _SIGNALS[kind][place(lang)] if kind in _SIGNALS else kind
    part = field_label(part, part, lang) if part and kind == PRIOR else part
    return f"{label} · {part}" if part else label


def number(value: float, digits: int = 0) -> str:
    """Both languages group by thousands with a comma and use a decimal point."""
    return f"{value:,.{digits}f}"


def rating(value: object) -> str:
    """A number of stars, such as 4.5; nothing for what is no number, and for 0, which means that nobody rated it."""
    try:
        stars = float(str(value) or 0)
    except ValueError:
        return ""
    return f"{stars:.1f}" if stars > 0 else ""


def price(value: object, currency: object) -> str:
    """A price as a shop writes it. Without a known currency the bare number is shown: none is guessed."""
    code = currency.upper() if isinstance(currency, str) else ""
    if isinstance(value, str):
        try:
            amount = float(value)
        except ValueError:
            return value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        amount = value
    else:
        return ""
    text = number(amount, 0 if code in _NO_CENTS else 2)
    if code in _CURRENCY:
        return _CURRENCY[code] + text
    return f"{code} {text}".strip()
