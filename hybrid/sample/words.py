"""The words of the sample catalogue: colours, patterns, materials, brands. Invented for this project.

Sentences come in pairs, English and Chinese. The Chinese says the same thing the way a Chinese shop would,
not word by word.
"""

from __future__ import annotations

from dataclasses import dataclass

Pair = tuple[str, str]

#: colour -> Chinese name
COLORS: dict[str, str] = {
    "black": "黑色",
    "white": "白色",
    "grey": "灰色",
    "red": "红色",
    "blue": "蓝色",
    "navy": "藏青色",
    "green": "绿色",
    "yellow": "黄色",
    "orange": "橙色",
    "pink": "粉色",
    "purple": "紫色",
    "brown": "棕色",
    "beige": "米色",
    "teal": "青绿色",
}

#: pattern -> Chinese name as it stands in a product name; plain goods do not mention it
PATTERNS: dict[str, str] = {
    "plain": "",
    "striped": "条纹",
    "dotted": "波点",
    "checked": "格纹",
    "floral": "碎花",
}

#: letters by which the kinds below name the patterns they come in
PATTERN_LETTERS = {"p": "plain", "s": "striped", "d": "dotted", "c": "checked", "f": "floral"}

PATTERN_SENTENCES: dict[str, tuple[Pair, ...]] = {
    "striped": (
        ("Even stripes run all the way across, matched at the seams.", "条纹粗细均匀，拼接处对得整整齐齐。"),
        ("The bold stripes show clearly from afar.", "醒目的条纹，隔得老远也能一眼认出。"),
    ),
    "dotted": (
        ("Round polka dots give it a playful, slightly retro air.", "圆圆的波点俏皮里带一点复古味道。"),
        ("Evenly spaced dots keep a simple shape from looking dull.", "波点疏密得当，简单的款式也不显单调。"),
    ),
    "checked": (
        ("A crossing check borrowed from old country blankets.", "交错的格纹取自旧时的乡村毛毯。"),
        ("The checks are lined up by eye before the pieces are joined.", "每一块格纹都由师傅比对后再拼合。"),
    ),
    "floral": (
        ("Small blossoms are scattered over it like a spring meadow.", "细小的花朵散落其间，像春天的草地。"),
        ("The flower print was first painted in watercolour.", "花卉图案由水彩手稿印制而成。"),
    ),
}

#: material -> sentences about what it is like and how it is looked after
MATERIALS: dict[str, tuple[Pair, ...]] = {
    "canvas": (
        ("Sturdy canvas that softens with use; brush off dirt once it has dried.",
         "帆布结实耐用，越用越软，泥渍干后刷掉即可。"),
        ("Woven cotton canvas, spot clean with mild soap.", "棉质帆布面料，局部用温和皂液擦洗。"),
    ),
    "mesh": (
        ("The airy mesh lets heat out and weighs next to nothing.", "网布透气散热，几乎感觉不到重量。"),
        ("Breathable mesh that wipes clean with a damp cloth.", "透气网面，湿布一擦就干净。"),
    ),
    "leather": (
        ("Full-grain leather that gains a deeper tone with the years; feed it with wax twice a year.",
         "头层牛皮会随岁月加深色泽，每年打蜡保养两次即可。"),
        ("Vegetable-tanned leather, wipe with a soft cloth.", "植鞣牛皮，平时用软布擦拭就好。"),
    ),
    "suede": (
        ("Velvety suede; use a rubber brush to lift the nap.", "绒面革触感细腻，用橡胶刷轻刷即可恢复绒毛。"),
    ),
    "rubber": (
        ("Natural rubber in one piece, with no seam for water to find.",
         "天然橡胶一体成型，没有接缝，水无处可渗。"),
        ("Rinse the rubber with a garden hose and it looks new.", "橡胶表面用水管一冲便焕然一新。"),
    ),
    "silicone": (
        ("Soft silicone that neither chafes nor takes on smells.", "亲肤硅胶，不磨手腕也不留汗味。"),
    ),
    "cotton": (
        ("Combed cotton, soft on the skin, machine washable at 30 degrees.",
         "精梳棉亲肤柔软，可三十度机洗。"),
        ("Organic cotton that holds its shape wash after wash.", "有机棉面料，反复洗涤也不变形。"),
    ),
    "linen": (
        ("Washed linen that is cool to the touch.", "水洗亚麻，触感清凉。"),
        ("European flax linen with an even, natural weave.", "欧洲亚麻织造，纹理自然匀净。"),
    ),
    "silk": (
        ("Mulberry silk with a quiet sheen; hand wash in cold water.", "桑蚕丝光泽柔和，请用冷水手洗。"),
        ("Light silk that flows with every movement.", "轻盈真丝，举手投足间随风流动。"),
    ),
    "wool": (
        ("Merino wool that does not itch; air it instead of washing.",
         "美利奴羊毛不扎人，平时晾一晾即可，不必常洗。"),
        ("Thick lambswool from a family-run mill, dry flat.", "家庭纺坊织造的厚实羔羊毛，洗后平铺晾干。"),
    ),
    "cashmere": (
        ("Two-ply cashmere, feather-light; hand wash and dry flat.", "双股羊绒轻若羽毛，手洗后平铺晾干。"),
    ),
    "denim": (
        ("Mid-weight denim that fades in its own way.", "中等厚度的牛仔布，会养出属于自己的落色。"),
    ),
    "polyester": (
        ("Recycled polyester that dries within the hour.", "再生涤纶面料，一小时内就能干透。"),
        ("Tightly woven polyester from recycled bottles.", "由回收塑料瓶制成的高密涤纶。"),
    ),
    "nylon": (
        ("Ripstop nylon that shrugs off thorns and zips.", "防撕裂尼龙，不怕树枝和拉链刮蹭。"),
        ("Coated nylon, light enough to forget about.", "涂层尼龙，轻得几乎忘了它的存在。"),
    ),
    "ceramic": (
        ("Glazed ceramic, safe in dishwasher and microwave.", "釉面陶瓷，可放洗碗机和微波炉。"),
        ("Each ceramic piece is dipped by hand, so no two glazes agree.",
         "手工浸釉，每一件的釉色都略有不同。"),
    ),
    "stoneware": (
        ("Heavy stoneware fired at 1250 degrees.", "一千二百五十度高温烧成的厚实炻器。"),
    ),
    "porcelain": (
        ("Fine porcelain, thin enough to let light through.", "细瓷胎薄，对着光几乎透亮。"),
        ("White-bodied porcelain with a hard, even glaze.", "白瓷胎体，釉面坚硬匀净。"),
    ),
    "steel": (
        ("Brushed stainless steel that takes no stains and no smells.", "拉丝不锈钢，不留渍也不串味。"),
    ),
    "glass": (
        ("Borosilicate glass that takes boiling water calmly.", "高硼硅玻璃，滚水直冲也不炸裂。"),
    ),
    "cast iron": (
        ("Enamelled cast iron; rinse without soap and wipe at once.",
         "铸铁内壁上釉，清水冲净后随手擦干即可。"),
    ),
    "metal": (
        ("Powder-coated metal that does not chip.", "金属喷塑表面，不易磕碰掉漆。"),
        ("Solid metal with a matt finish; dust with a cloth now and then.",
         "哑光金属材质，偶尔用布掸掸灰就行。"),
    ),
    "beech": (
        ("Legs of solid beech from managed forests, oiled rather than varnished.",
         "榉木椅腿取自可持续林地，只上木蜡油不上漆。"),
    ),
    "plastic": (
        ("Tough recycled plastic with a matt surface.", "再生塑料坚韧耐摔，表面哑光。"),
        ("Light moulded plastic, wipe with a damp cloth.", "轻质注塑外壳，湿布一擦就净。"),
    ),
    "aluminium": (
        ("A frame of anodised aluminium that stands up to years of folding.",
         "阳极氧化铝骨架，反复折叠多年也不松。"),
    ),
    "acetate": (
        ("Plant-based acetate, polished for three days in a drum.", "植物醋酸纤维，滚筒抛光三天而成。"),
        ("Cut from a solid sheet of acetate with five-barrel hinges.", "整块板材切割，配五齿铰链。"),
    ),
}  # fmt: skip

#: brand -> the letters its model numbers begin with
BRANDS: dict[str, str] = {
    "Arven": "ARV",
    "Northfell": "NOF",
    "Tidewell": "TDW",
    "Marlow Finch": "MLF",
    "Sunda Row": "SDR",
    "Packhorn": "PKH",
    "Orielle": "ORL",
    "Kilnwood": "KLW",
    "Hearthly": "HTL",
    "Lumbrel": "LMB",
    "Osk & Birch": "OSB",
    "Sonovale": "SNV",
    "Quillon": "QLN",
    "Meridew": "MRD",
    "Pellova": "PLV",
    "Dapplewick": "DPW",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of product inside a category: what it is called, comes in, costs, and is good for.

    patterns: letters of PATTERN_LETTERS. colors: where the category's colours would be odd, its own.
    """

    name: str
    name_zh: str
    patterns: str
    materials: tuple[str, ...]
    price: tuple[int, int]
    tags: tuple[str, ...]
    use: str
    use_zh: str
    colors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Category:
    """A category: its names, the colours and brands it comes in, sentences any of its goods may carry."""

    name: str
    name_zh: str
    colors: tuple[str, ...]
    brands: tuple[str, ...]
    occasions: tuple[Pair, ...]
    kinds: tuple[Kind, ...]
