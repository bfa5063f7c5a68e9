"""What the sampled rows say of each field, and the names that fields go by. The ground `fields` guesses on."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any

#: role -> names that a field of it goes by, the most telling first, as `_normal` writes them.
NAMES: dict[str, tuple[str, ...]] = {
    role: tuple(names.split())
    for role, names in {
        "id": "id _id uniq_id uid uuid docid doc_id handle sku sku_id asin article_id code key ref reference "
        "ean gtin 编号 编码 货号 id号",
        "title": "title name display_name full_name item_name headline label product model_name 名称 标题 品名 "
        "名字 商品",
        "description": "description long_description full_description desc long_desc detail_desc details body_html "
        "body short_description short_desc summary overview content about features bullet_points text 描述 "
        "详细描述 详情 介绍 简介 说明",
        "brand": "brand brand_name brands manufacturer manufacturer_name maker supplier supplier_name vendor "
        "vendor_name designer 品牌 品牌名称 厂商 制造商 生产商 供应商",
        "category": "category categories category_name category_names category_path google_category "
        "google_product_category main_category master_category product_type type_name department "
        "department_name sub_category subcategory article_type group_name section section_name breadcrumb "
        "breadcrumbs type genre 类别 分类 类目 品类 种类 部门",
        "tags": "tags tag keywords keyword labels collections search_terms 标签 关键词 关键字",
        "color": "color colour colors colours color_name colour_name base_color base_colour main_color "
        "main_colour primary_color color_family colour_group_name 颜色 色彩 主色",
        "code": "model model_number model_no model_code mpn part_number part_no partnumber "
        "manufacturer_part_number sku style_code style_number article_number item_number ean ean13 gtin gtin13 "
        "gtin14 upc barcode isbn isbn13 isbn10 gtin_upc_ean_or_isbn asin 型号 款号 货号 条码 条形码",
        "price": "price current_price sale_price selling_price final_price discounted_price unit_price "
        "retail_price regular_price list_price actual_price price_amount price_value price_usd price_eur "
        "price_gbp price_cny amount offer_price 价格 售价 单价 现价 原价",
        "date": "released release_date date_released launch_date launched published_at publish_date "
        "date_published published date_added added available_from availability_date created_at created "
        "date_created date updated_at updated 上市日期 上市时间 发布日期 发布时间 上架时间 上架日期 日期",
        "image": "image main_image base_image primary_image image_link image_url image_src image_path images "
        "images_src images_url img img_url image_file picture picture_url pictures photo photo_url photos "
        "im_url high_pic 图片 主图 图片地址 图片链接 图片url 图",
        "video": "video video_url video_link video_path video_file videos movie clip clips animation 视频 "
        "视频地址 动画",
        "audio": "audio audio_url audio_link audio_path audio_file sound sounds recording preview_audio music "
        "音频 声音 音乐",
        "url": "url link page_url permalink canonical_url href 链接 网址",
    }.items()
}  # fmt: skip

_PREFIX = re.compile(r"^(?:_?source_|data_|fields_|item_|items_|goods_|products?_|prod_|variants?_|g_|商品_?|产品_?)")
_LANGUAGE = re.compile(
    r"_(?:zh|en|de|fr|es|it|pt|nl|pl|ru|ja|jp|ko|kr|ar|tr|sv|da|fi|cs|cn|tw|hk)"
    r"(?:_(?:cn|tw|hk|hans|hant|us|gb|uk|br))?$|^(?:中文|英文)(?=.)|_?(?:中文|英文)$"
)
# The last part of a nested name says little where it is one of these: seller.name, brand.id.
_VAGUE = {
    *("id", "name", "title", "url", "link", "type", "value", "description", "text", "label", "code", "key", "src"),
    *("date", "number", "content", "amount"),
}
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d+)?(?:[eE][+-]?\d{1,2})?")
_DATE = re.compile(r"\d{4}-\d\d(?:-\d\d(?:T\d\d(?::\d\d(?::\d\d(?:[.,]\d{1,9})?)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?)?")
_IMAGE = re.compile(r"\S.*\.(?:jpe?g|png|gif|webp|avif|bmp|tiff?)(?:[?#]\S*)?", re.IGNORECASE)
_VIDEO = re.compile(r"\S.*\.(?:mp4|m4v|mov|webm|mkv|avi|mpe?g|ogv|3gp|flv)(?:[?#]\S*)?", re.IGNORECASE)
_AUDIO = re.compile(r"\S.*\.(?:mp3|wav|ogg|oga|opus|flac|m4a|aac|aiff?)(?:[?#]\S*)?", re.IGNORECASE)
_URL = re.compile(r"(?:https?:)?//\S+", re.IGNORECASE)
_SIZES = {
    **{"thumb": 3.0, "icon": 3.0, "swatch": 3.0, "tiny": 3.0, "mini": 3.0, "low": 2.0, "small": 2.0},
    **{"medium": 0.7, "large": 0.5, "big": 0.5, "high": 1.0, "full": 1.0, "original": 1.0, "zoom": 1.0},
}
_PRODUCT_KINDS = {"simple", "variable", "variation", "grouped", "external", "configurable", "virtual", "bundle"}


@dataclass
class Profile:
    """One field over the sampled rows. first: its first value in each row, as text; "" where it has none."""

    path: str
    rows: int
    filled: int = 0
    listed: bool = False
    values: list[Any] = field(default_factory=list)
    first: list[str] = field(default_factory=list)

    @cached_property
    def kind(self) -> str:
        """long, double, boolean, date, image, video, audio, url or text: what (nearly) all values are."""
        if all(isinstance(value, bool) for value in self.values):
            return "boolean"
        if all(_is_number(value) for value in self.values):
            whole = all(isinstance(v, int) or (isinstance(v, str) and not set(v) & set(".eE")) for v in self.values)
            return "long" if whole and all(abs(int(v)) < 2**63 for v in self.values) else "double"
        for name, pattern in (("image", _IMAGE), ("video", _VIDEO), ("audio", _AUDIO)):
            if self._share(pattern) >= 0.6:
                return name
        if self._share(_URL) >= 0.8:
            return "url"
        if all(value in ("true", "false") for value in self.values):
            return "boolean"
        return "date" if self.date_share == 1 else "text"

    @cached_property
    def texts(self) -> list[str]:
        return [str(value) for value in self.values]

    @property
    def share(self) -> float:
        return self.filled / self.rows

    @property
    def quoted(self) -> bool:
        """Some values are strings, as all are in CSV."""
        return any(isinstance(value, str) for value in self.values)

    @cached_property
    def distinct(self) -> int:
        return len(set(self.texts))

    @property
    def unique(self) -> float:
        return self.distinct / len(self.values)

    @cached_property
    def mean_length(self) -> float:
        return sum(map(len, self.texts)) / len(self.texts)

    @cached_property
    def number_share(self) -> float:
        return sum(map(_is_number, self.values)) / len(self.values)

    @cached_property
    def date_share(self) -> float:
        return sum(map(_is_date, self.values)) / len(self.values)

    @cached_property
    def code_share(self) -> float:
        """Values that are one word with a digit in it: 006R90321."""
        return self._share(re.compile(r"\S*\d\S*"))

    @cached_property
    def digit_share(self) -> float:
        return self._share(re.compile(r".*\d.*", re.DOTALL))

    @cached_property
    def moving_share(self) -> float:
        """Values that name a video, or a picture that may be an animation."""
        return self._share(_VIDEO) + self._share(_IMAGE)

    @property
    def slashed(self) -> bool:
        return self._share(re.compile(r"/\S+")) >= 0.8

    @cached_property
    def is_identifier(self) -> bool:
        """One word, another in nearly every row: hashes, handles. Nothing to search or to count by."""
        return self.filled > 20 and self.unique > 0.9 and all(text.isascii() and " " not in text for text in self.texts)

    @property
    def is_product_kind(self) -> bool:
        """WooCommerce's "Type" and Magento's product_type: the way of selling, no category."""
        return {text.strip().lower() for text in self.texts} <= _PRODUCT_KINDS

    def _share(self, pattern: re.Pattern[str]) -> float:
        return sum(isinstance(v, str) and bool(pattern.fullmatch(v.strip())) for v in self.values) / len(self.values)


def profile_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, Profile]:
    """Every field of these rows that has a value, by dotted path, in order of appearance."""
    profiles: dict[str, Profile] = {}
    for number, row in enumerate(rows):
        for path, value, listed in _leaves(row, "", False):
            profile = profiles.get(path)
            if profile is None:
                profile = profiles[path] = Profile(path, len(rows), first=[""] * len(rows))
            if not profile.first[number]:
                profile.filled += 1
                profile.first[number] = str(value)
            profile.listed |= listed
            profile.values.append(value)
    return profiles


def _leaves(value: Any, path: str, listed: bool) -> Iterator[tuple[str, Any, bool]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else key, listed)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner, path, True)
    elif value is not None and value != "":
        yield path, value, listed


@lru_cache(maxsize=8192)
def base_name(path: str) -> str:
    """The name without its language: name_zh and nameZh are `name`."""
    return _LANGUAGE.sub("", _normal(path)) or _normal(path)


def _normal(path: str) -> str:
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", path).lower()
    return re.sub(r"[^\w]+", "_", name).strip("_") or name


@lru_cache(maxsize=65536)
def rank(path: str, role: str) -> float | None:
    """How well a field's name fits a role, 0 being best; None: not at all."""
    names = NAMES.get(role, ())
    base = base_name(path)
    forms = [(base, 0.0), (_PREFIX.sub("", base), 0.5)]
    last = base_name(path.rpartition(".")[2])
    if "." in path and last not in _VAGUE:
        forms.append((last, 20.0))
    # The plain name goes before its translations.
    foreign = 0.0 if base == _normal(path) else 0.1
    return min((names.index(form) + more + foreign for form, more in forms if form in names), default=None)


def image_rank(profile: Profile) -> tuple[float, float] | None:
    """How well a field fits as the product's picture: by name, then by size, about 600 pixels being best."""
    named = rank(profile.path, "image")
    if profile.kind not in ("image", "url") and (
        named is None or profile.kind != "text" or not profile.texts[0].strip() or " " in profile.texts[0]
    ):
        return None
    if named is None and profile.kind != "image":
        return None
    name = _normal(profile.path)
    if pixels := re.search(r"(\d{2,4})(?:x\d{2,4})?$", name):
        size = abs(math.log2(int(pixels[1]) / 600)) if int(pixels[1]) else 3.0
    else:
        size = next((worth for word, worth in _SIZES.items() if word in name), 0.6)
    return (100.0 if named is None else named, size)


def media_rank(profile: Profile, role: str) -> float | None:
    """How well a field fits as the product's video or sound: it names such files; an animation will do as a video."""
    named = rank(profile.path, role)
    if profile.kind == role:
        return 100.0 if named is None else named
    return named if role == "video" and profile.moving_share >= 0.6 else None


def _is_number(value: Any) -> bool:
    """A number, or a string that is one. Leading zeros make it a code: 00123."""
    if isinstance(value, str):
        return bool(_NUMBER.fullmatch(value.strip()))
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_date(value: Any) -> bool:
    """What Elasticsearch's strict_date_optional_time reads, from the month on."""
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return False
    try:
        datetime.strptime(value[:10], "%Y-%m-%d" if len(value) > 7 else "%Y-%m")
    except ValueError:
        return False
    return True
