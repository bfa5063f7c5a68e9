"""One drawing for each category of bags, tableware, furniture and gadgets. See `draw_wardrobe`."""

from __future__ import annotations

from hybrid.sample.pen import GOLD, STEEL, WOOD, Pen, darker, spline

WHITE = (250, 250, 248)
INK = (48, 48, 54)


def backpacks(pen: Pen, style: int) -> None:
    wide = pen.vary(25, 29)
    left, right = 50 - wide, 50 + wide
    pen.line([(43, 16), (44, 7), (56, 7), (57, 16)], 3.2, pen.deep)
    for side in (1, -1):
        x = 50 + side * (wide + 1)
        pen.line([(x - side * 4, 28), (x + side * 5, 42), (x + side * 4, 66), (x - side * 3, 80)], 4.5, pen.deep)
    if style == 2:
        pen.box(left + 2, 7, right - 2, 17, (196, 150, 96), r=5)
    pen.shape([(left, 78), (left - 1, 50), (left + 2, 28), (36, 14), (50, 12), (64, 14), (right - 2, 28),
               (right + 1, 50), (right, 78), (right - 8, 87), (50, 88), (left + 8, 87)])  # fmt: skip
    pen.line([(left + 4, 36), (left + 9, 24), (50, 19), (right - 9, 24), (right - 4, 36)], 1.4, pen.deep)
    if style == 3:
        pen.shape([(left + 1, 26), (50, 13), (right - 1, 26), (right - 4, 50), (50, 55), (left + 4, 50)], pen.dark)
        for x in (40, 60):
            pen.box(x - 2, 46, x + 2, 68, darker(pen.dark, 0.25), r=1)
            pen.box(x - 2.6, 58, x + 2.6, 63, GOLD, r=1)
    else:
        pen.box(left + 7, 54, right - 7, 82, r=6)
        pen.line([(left + 10, 60), (right - 10, 60)], 1.6, pen.deep)
        pen.line([(right - 13, 60), (right - 13, 66)], 1.8, STEEL)
        pen.box(44, 34, 56, 41, pen.deep, r=1.5)


def handbags(pen: Pen, style: int) -> None:
    top = pen.vary(38, 43)
    spread = pen.vary(36, 39)
    strap = (150, 100, 62) if style in (1, 3) else pen.dark
    high = 8 if style in (0, 1) else 15
    pen.line(
        [(33, top + 4), (35, high + 14), (43, high), (57, high), (65, high + 14), (67, top + 4)],
        4,
        darker(strap, 0.3),
    )
    pen.line([(33, top + 4), (35, high + 14), (43, high), (57, high), (65, high + 14), (67, top + 4)], 2.8, strap)
    lean = -3 if style in (0, 1) else 4
    pen.shape([(50 - spread + lean, top), (50 + spread - lean, top), (50 + spread, 84), (50 + spread - 3, 87),
               (50 - spread + 3, 87), (50 - spread, 84)], smooth=False)  # fmt: skip
    if style == 2:
        pen.shape([(50 - spread + 4, top), (50 + spread - 4, top), (50 + spread - 5, 56), (62, 64), (38, 64),
                   (50 - spread + 5, 56)], pen.dark, smooth=False)  # fmt: skip
        pen.box(45, 59, 55, 69, GOLD, r=2)
        pen.oval(50, 64, 2, 2, darker(GOLD, 0.4))
    else:
        pen.line([(50 - spread + lean + 2, top + 3.5), (50 + spread - lean - 2, top + 3.5)], 1, pen.dark)
        for x in (33, 67):
            pen.box(x - 3, top - 1, x + 3, top + 11, strap, r=1.4)
            pen.oval(x, top + 7, 1.2, 1.2, GOLD)
        if style == 0:
            pen.oval(50, top + 7, 2.4, 2.4, GOLD)
    pen.line([(50 - spread + 2, 82), (50 + spread - 2, 82)], 0.9, pen.dark)


def mugs(pen: Pen, style: int) -> None:
    wide = pen.vary(24, 27) - (5 if style in (1, 2) else 0)
    top = 24.0 if style in (0, 3) else 20.0
    x0, x1 = 42 - wide, 42 + wide
    for width, fill in ((8.5, pen.outline), (7, pen.color)):
        pen.line([(x1 - 3, top + 14), (x1 + 13, top + 13), (x1 + 18, 50), (x1 + 12, 68), (x1 - 3, 70)], width, fill)
    foot = 4 if style == 3 else 1.5 if style == 0 else 4.5
    pen.shape([(x0, top), (x1, top), (x1 - foot / 3, 60), (x1 - foot, 82), (x1 - foot - 5, 86.5), (42, 88),
               (x0 + foot + 5, 86.5), (x0 + foot, 82), (x0 + foot / 3, 60)], smooth=False)  # fmt: skip
    if style == 1:
        pen.box(x0 - 1, top - 4, x1 + 1, top + 5, STEEL, r=2)
        pen.box(x0 + 3, 78, x1 - 3, 84, STEEL, r=1)
    elif style == 2:
        pen.box(x0 - 2, top - 5, x1 + 2, top + 4, (62, 64, 70), r=3)
        pen.box(46, top - 9, 56, top - 4, (62, 64, 70), r=1.5)
        pen.box(x0 + 1, 46, x1 - 1, 62, pen.dark, r=1)
    else:
        pen.oval(42, top, wide, 6.2, pen.light)
        pen.oval(42, top + 1.2, wide - 3, 4.4, (92, 58, 40))
        for x in (33, 43, 53):
            pen.line([(x, 15), (x - 2, 11), (x + 1, 7), (x - 1, 3)], 1.3, (226, 224, 222))


def teapots(pen: Pen, style: int) -> None:
    wide = pen.vary(25, 28) - (3 if style == 1 else 0)
    iron = style == 2
    if iron:
        pen.line([(30, 40), (30, 16), (40, 8), (60, 8), (70, 16), (70, 40)], 3.4, (60, 60, 64))
    else:
        for width, fill in ((7.4, pen.outline), (6, pen.color)):
            pen.line([(50 - wide + 4, 44), (50 - wide - 14, 40), (50 - wide - 17, 56), (50 - wide - 8, 68),
                      (50 - wide + 5, 70)], width, fill)  # fmt: skip
    edge = 50 + wide
    pen.shape([(edge - 5, 52), (edge + 6, 50), (edge + 12, 36), (edge + 19, 33), (edge + 15, 42),
               (edge + 9, 62), (edge - 5, 72)])  # fmt: skip
    pen.shape([(50 - wide + 8, 80), (50 - wide, 64), (50 - wide + 2, 50), (36, 38), (50, 35), (64, 38),
               (edge - 2, 50), (edge, 64), (edge - 8, 80), (50, 85)])  # fmt: skip
    pen.box(37, 83, 63, 87, pen.dark, r=1.5)
    pen.shape([(34, 38.5), (38, 32), (50, 28), (62, 32), (66, 38.5), (50, 41)], pen.dark if style == 1 else None)
    pen.oval(50, 25.5, 3.6, 3.6, GOLD if style == 0 else pen.dark)


def lamps(pen: Pen, style: int) -> None:
    foot = {0: WOOD, 1: STEEL, 2: GOLD, 3: pen.light}.get(style, WOOD)
    if style == 1:
        pen.line([(34, 82), (26, 54), (52, 26)], 4, darker(foot, 0.25), smooth=False)
        pen.line([(34, 82), (26, 54), (52, 26)], 2.6, foot, smooth=False)
        pen.oval(26, 54, 3.4, 3.4, INK)
        pen.oval(67, 48, 19, 6, (255, 240, 190), turn=35)
        pen.shape([(47, 20), (56, 15), (66, 20), (84, 50), (70, 58), (52, 64), (50, 44)], smooth=True)
        pen.oval(68, 57, 17.5, 5, (255, 240, 190), turn=-24)
        pen.oval(52, 21, 4, 4, pen.dark)
        pen.oval(34, 84, 17, 4)
        return
    top, low = pen.vary(19, 23), pen.vary(30, 34)
    pen.line([(50, 48), (50, 84)], 3, darker(foot, 0.3))
    if style == 3:
        pen.shape([(46, 54), (36, 64), (36, 76), (44, 84), (56, 84), (64, 76), (64, 64), (54, 54)], foot)
    elif style == 2:
        for y, r in ((60, 4), (68, 5.5), (76, 4)):
            pen.oval(50, y, r, 4, foot)
    else:
        pen.shape([(47, 54), (44, 70), (40, 84), (60, 84), (56, 70), (53, 54)], foot)
    pen.oval(50, 85.5, 18, 3.6, darker(foot, 0.12))
    pen.oval(50, 52, low - 1, 5.5, (255, 240, 190))
    if style == 3:
        top, low = low - 4, low - 2
    pen.shape([(50 - top, 13), (50 + top, 13), (50 + low, 52), (50 + low * 0.6, 54.5), (50, 55.5),
               (50 - low * 0.6, 54.5), (50 - low, 52)], smooth=False)  # fmt: skip
    pen.line([(50 - top, 13.5), (50 + top, 13.5)], 1.4, pen.dark)
    pen.line([(64, 57), (64, 66)], 0.7, INK)
    pen.oval(64, 67, 1.3, 1.3, GOLD)


def chairs(pen: Pen, style: int) -> None:
    if style == 0:
        pen.line([(50, 62), (50, 78)], 4.5, (88, 90, 96))
        for x in (24.0, 38.0, 62.0, 76.0):
            pen.line([(50, 77), (x, 84)], 3, (66, 68, 74))
            pen.oval(x, 86.5, 2.6, 2.6, (40, 40, 44))
        for side in (1, -1):
            pen.line(
                [(50 + side * 22, 62), (50 + side * 28, 55), (50 + side * 28, 48), (50 + side * 20, 47)],
                2.8,
                INK,
            )
        pen.line([(50, 50), (50, 62)], 6, (66, 68, 74))
        pen.shape(_seat(29, 9, 71, 52))
        pen.line([(34, 40), (50, 42), (66, 40)], 1, pen.dark)
        pen.shape([(25, 60), (30, 56), (70, 56), (75, 60), (74, 66), (68, 68), (32, 68), (26, 66)])
        return
    wood = (150, 152, 158) if style == 3 else WOOD
    if style == 3:
        for side in (1, -1):
            pen.line([(50 + side * 24, 10), (50 - side * 22, 87)], 3, darker(wood, 0.25), smooth=False)
            pen.line([(50 + side * 22, 48), (50 + side * 24, 87)], 3, wood, smooth=False)
            pen.line([(50 + side * 23, 10), (50 + side * 22, 56)], 3, wood, smooth=False)
        pen.box(26, 14, 74, 40, r=3)
        pen.shape([(26, 54), (74, 54), (80, 64), (20, 64)], smooth=False)
        return
    wide = pen.vary(21, 24) if style == 1 else pen.vary(29, 32)
    for side in (1, -1):
        pen.line(
            [(50 + side * (wide - 5), 62), (50 + side * (wide - 7), 80)],
            2.8,
            darker(wood, 0.25),
            smooth=False,
        )
        pen.line([(50 + side * (wide - 1), 66), (50 + side * (wide + 2), 87)], 3.6, wood, smooth=False)
    if style == 1:
        for side in (1, -1):
            pen.line([(50 + side * (wide - 3), 10), (50 + side * (wide - 2), 60)], 3.6, wood, smooth=False)
        pen.box(50 - wide + 2, 12, 50 + wide - 2, 40, r=5)
        pen.shape([(50 - wide + 2, 54), (50 + wide - 2, 54), (50 + wide + 3, 65), (50 + wide, 69),
                   (50 - wide, 69), (50 - wide - 3, 65)], smooth=False)  # fmt: skip
        pen.line([(50 - wide - 1, 65.5), (50 + wide + 1, 65.5)], 0.8, pen.dark)
        return
    pen.shape(_seat(50 - wide + 3, 16, 50 + wide - 3, 62))
    pen.line([(50, 22), (50, 50)], 0.8, pen.dark)
    pen.box(50 - wide + 4, 54, 50 + wide - 4, 68, r=5)
    for side in (1, -1):
        x = 50 + side * (wide + 1)
        pen.box(x - 6, 44, x + 6, 74, r=5)
    pen.box(50 - wide + 4, 68, 50 + wide - 4, 74, pen.dark, r=2)


def _seat(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
    mid, tall = (x0 + x1) / 2, y1 - y0
    return [(x0 + 3, y0 + 4), (mid, y0), (x1 - 3, y0 + 4), (x1, y0 + tall * 0.5), (x1 - 3, y1 - 2), (mid, y1),
            (x0 + 3, y1 - 2), (x0, y0 + tall * 0.5)]  # fmt: skip


def headphones(pen: Pen, style: int) -> None:
    wide = pen.vary(28, 31)
    rise = pen.vary(10, 14)
    arch = [(50 - wide, 60), (50 - wide - 1, 40), (50 - wide + 9, 20), (50, rise), (50 + wide - 9, 20),
            (50 + wide + 1, 40), (50 + wide, 60)]  # fmt: skip
    pen.band(arch, 7.5 if style != 2 else 5.5)
    pen.line([(50 - wide + 12, 24), (50, rise + 7), (50 + wide - 12, 24)], 3.6, pen.deep)
    for side in (1, -1):
        x = 50 + side * wide
        pen.line([(x, 44), (x, 54)], 3, STEEL, smooth=False)
        inner = x - side * 7
        pen.box(inner - 5.5, 47, inner + 5.5, 83, (58, 58, 64), r=5.5)
        pen.shape([(x - side * 5, 46), (x + side * 4, 46), (x + side * 13, 54), (x + side * 15, 65),
                   (x + side * 13, 76), (x + side * 4, 84), (x - side * 5, 84)], smooth=True)  # fmt: skip
        if style != 3:
            pen.oval(x + side * 6, 65, 3.2, 8, pen.dark)
    if style == 4:
        pen.line([(50 - wide - 6, 78), (50 - wide, 92), (36, 92)], 2, INK)
        pen.oval(37, 92, 4, 2.6, INK)
    if style == 2:
        pen.line([(50 + wide + 4, 84), (50 + wide + 4, 92), (50 + wide - 8, 94), (60, 90), (52, 95)], 1.2, INK)


def umbrellas(pen: Pen, style: int) -> None:
    drop = pen.vary(47, 52)
    top = pen.vary(11, 14)
    shaft = WOOD if style == 2 else (92, 94, 100)
    pen.line([(50, 8), (50, 80)], 2.6, shaft, smooth=False)
    hook = [(50, 78), (50, 88), (44, 93), (37, 89), (37, 84)]
    pen.line(hook, 4.4, darker(WOOD, 0.35) if style == 2 else pen.deep)
    pen.line([(50, 6), (50, 14)], 2, (92, 94, 100), smooth=False)
    edge = [8.0, 22.0, 36.0, 50.0, 64.0, 78.0, 92.0]
    points = [(8.0, drop), (13, 34), (27, 19), (50, top), (73, 19), (87, 34), (92.0, drop)]
    rim = []
    for a, b in zip(reversed(edge[:-1]), reversed(edge[1:]), strict=True):
        mid = (a + b) / 2
        rim += [
            (b - 1.5, drop - 1),
            ((b + mid) / 2, drop - 4),
            (mid, drop - 5),
            ((mid + a) / 2, drop - 4),
            (a + 1.5, drop - 1),
        ]
        rim.append((a, drop))
    dome = _arc(points)
    pen.shape(dome + rim, smooth=False)
    for x in edge[1:-1]:
        bow = 50 + (x - 50) * 0.62
        pen.line([(50, top), (bow, (top + drop) / 2 - 8), (x, drop - 1)], 0.8, pen.dark)
    pen.oval(50, top, 2, 1.6, pen.deep)


def _arc(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return spline(points, closed=False)
