"""One drawing for each category of clothing. Coordinates are those of `Pen`: 0 to 100, y down, floor near 86.

A `style` is the place of a product's kind in its category; where kinds look different in real life (a rain
boot, a hiking boot) the drawing follows it. Parts without a fill take the product's colour and pattern.
"""

from __future__ import annotations

import math

from hybrid.sample.pen import CREAM, GOLD, STEEL, Pen, Point, darker, lighter, mix

WHITE = (250, 250, 248)
INK = (48, 48, 54)


def _mirror(half: list[Point]) -> list[Point]:
    """A left half, top to bottom, closed by its mirror image."""
    return half + [(100 - x, y) for x, y in reversed(half)]


def sneakers(pen: Pen, style: int) -> None:
    toe = pen.vary(58, 61)
    rise = pen.vary(-2, 3)
    pen.line([(45, 42 + rise), (42, 34 + rise), (36, 33 + rise)], 5, pen.dark)
    pen.shape(
        [(13, 40 + rise), (12, 52), (10, 68), (14, 74), (50, 75), (86, 75), (93, 71), (90, 63), (78, toe),
         (66, 55), (55, 46 + rise / 2), (46, 36 + rise), (40, 37 + rise), (34, 46 + rise), (25, 47 + rise),
         (18, 40 + rise)]
    )  # fmt: skip
    pen.shape([(93, 71), (91, 63), (83, 60), (77, 66), (75, 75), (88, 75)], WHITE if style == 1 else pen.dark)
    pen.shape([(12, 42 + rise), (11, 54), (17, 55), (19, 45 + rise)], pen.dark)
    if style in (0, 3):
        pen.line([(28, 70), (40, 62), (52, 66), (62, 72)], 3.4, pen.light)
    for k in range(4):
        x, y = 46 + k * 6.2, 41 + rise + k * 4.3
        pen.line([(x, y), (x - 6.5, y + 6.5)], 2.1, WHITE)
    sole = CREAM if style != 3 else (70, 70, 76)
    pen.shape(
        [(8, 73), (8, 80), (14, 83), (50, 82), (84, 83), (94, 80), (96, 73), (90, 74), (50, 75), (16, 75)],
        sole,
    )
    pen.line([(10, 79), (50, 79), (94, 78.5)], 0.8, darker(sole, 0.25))
    if style == 3:
        for k in range(12):
            pen.line([(13 + k * 7, 82), (13 + k * 7, 84.5)], 2.6, sole)


def boots(pen: Pen, style: int) -> None:
    top = {0: 28.0, 1: 14.0, 2: 32.0, 3: 22.0}.get(style, 22) + pen.vary(-2, 2)
    sole = (58, 46, 40)
    pen.shape(
        [(27, top), (27, 45), (25, 62), (25, 79), (32, 81), (60, 81), (86, 81), (90, 75), (85, 66), (70, 60),
         (59, 54), (56, 44), (57, top), (42, top - 1)]
    )  # fmt: skip
    if style == 2:
        pen.shape([(37, top + 2), (38, 52), (43, 57), (48, 52), (49, top + 2)], pen.deep, smooth=False)
        pen.line([(28, top + 2), (26, top - 6), (32, top - 6), (32, top + 2)], 2, pen.dark)
    elif style == 1:
        pen.box(26, top - 1, 58, top + 5, pen.dark, r=2)
        pen.box(50, top + 7, 57, top + 12, STEEL, r=1)
    else:
        for k in range(4):
            y = top + 7 + k * (48 - top) / 4
            pen.line([(50, y), (59, y - 2)], 2.2, GOLD if style == 0 else WHITE)
        pen.line([(52, top + 4), (52, 52), (60, 60)], 1.2, pen.dark)
        if style == 3:
            pen.shape([(24, top), (30, top - 5), (42, top - 4), (54, top - 5), (60, top), (58, top + 6),
                       (42, top + 7), (26, top + 6)], (244, 238, 226))  # fmt: skip
    pen.shape([(86, 81), (90, 75), (87, 69), (78, 67), (74, 74), (74, 81)], pen.dark)
    pen.shape([(24, 79), (24, 87), (42, 87), (44, 84), (88, 86), (92, 83), (91, 79), (60, 81)], sole, smooth=False)


def tshirts(pen: Pen, style: int) -> None:
    sleeve = pen.vary(40, 46)
    hem = pen.vary(83, 87)
    for side in (1, -1):
        points = [(34, 19), (22, 24), (8, sleeve - 2), (20, sleeve + 7), (31, 36)]
        pen.shape([(50 + side * (x - 50), y) for x, y in points], smooth=False)
    pen.shape(
        _mirror([(40, 16), (31, 20), (28, 30), (29, 50), (28, 70), (28, hem), (40, hem + 1)]),
    )
    neck = 25 if style != 2 else 29
    pen.shape([(39, 16.5), (43, neck - 2), (50, neck), (57, neck - 2), (61, 16.5), (50, 18.5)], pen.deep)
    pen.line([(39, 16.5), (43, neck - 1), (50, neck + 1), (57, neck - 1), (61, 16.5)], 2.2, pen.dark)
    pen.line([(29, hem - 3), (50, hem - 2), (71, hem - 3)], 0.7, pen.dark)
    if style == 3:
        pen.box(57, 36, 66, 46, pen.dark, r=1)


def dresses(pen: Pen, style: int) -> None:
    flare = pen.vary(14, 20) + (6 if style == 2 else 0)
    hem = 90 if style == 2 else pen.vary(83, 87)
    if style in (0, 2):
        for x in (40, 60):
            pen.line([(x, 24), (x + (2 if x < 50 else -2), 9)], 1.8, pen.dark)
    else:
        for side in (1, -1):
            points = [(37, 14), (28, 19), (22, 32), (32, 37), (37, 28)]
            pen.shape([(50 + side * (x - 50), y) for x, y in points])
    top = 22 if style in (0, 2) else 13
    bodice: list[Point] = [(42, top), (36, top + 2), (35.5, 28), (39, 38), (41, 45)]
    pen.shape(
        [(41, 44), (34, 60), (flare + 6, 75), (flare, hem), (34, hem + 2.5), (50, hem), (66, hem + 2.5),
         (100 - flare, hem), (94 - flare, 75), (66, 60), (59, 44)], smooth=True
    )  # fmt: skip
    pen.shape(_mirror(bodice), smooth=False)
    if top == 13:
        pen.shape([(41, 13), (50, 25), (59, 13)], pen.deep, smooth=False)
        pen.line([(41, 13), (50, 25), (59, 13)], 2, pen.dark, smooth=False)
    else:
        pen.line([(37, 24), (44, 23), (50, 27), (56, 23), (63, 24)], 1.8, pen.dark)
    pen.box(40, 42.5, 60, 47, pen.deep, r=1)
    if style == 1:
        pen.line([(55, 46), (60, 54), (58, 62)], 1.8, pen.deep)
    if style == 3:
        for k in range(6):
            pen.oval(50, 30 + k * 8 + (4 if k > 1 else 0), 0.9, 0.9, WHITE)
    for fold in (-12, 0, 12):
        pen.line([(50 + fold, 56), (50 + fold * 1.7, hem - 6)], 0.7, pen.dark)


def jackets(pen: Pen, style: int) -> None:
    hem = pen.vary(79, 82) if style == 3 else pen.vary(83, 87)
    if style in (0, 2):
        pen.shape([(36, 20), (37, 9), (50, 6), (63, 9), (64, 20), (50, 25)], pen.dark)
    for side in (1, -1):
        arm = [(35, 19), (23, 24), (14, 50), (11, 73), (22, 76), (27, 55), (33, 40)]
        pen.shape([(50 + side * (x - 50), y) for x, y in arm])
        cuff = [(11, 71), (10, 78), (21, 80), (22.5, 74)]
        pen.shape([(50 + side * (x - 50), y) for x, y in cuff], pen.dark, smooth=False)
    pen.shape(_mirror([(40, 17), (30, 21), (27, 33), (28, 55), (27, hem), (40, hem + 1)]))
    if style == 2:
        for k in range(4):
            y = 36 + k * 12
            pen.line([(28, y), (40, y + 1.6), (50, y), (60, y + 1.6), (72, y)], 0.9, pen.dark)
    if style == 3:
        pen.box(27, hem - 4, 73, hem + 3, pen.dark, r=2)
    for side in (1, -1):
        collar = [(41, 16), (36, 21), (42, 33), (50, 24)]
        pen.shape([(50 + side * (x - 50), y) for x, y in collar], pen.dark, smooth=False)
        x = 50.0 + side * 13
        if style in (1, 4):
            pen.box(x - 6, 38, x + 6, 50, pen.dark, r=1)
            pen.oval(x, 42, 1, 1, GOLD)
        else:
            pen.line([(x + side * 4, 60), (x - side * 2, 70)], 1.8, pen.deep)
    pen.line([(50, 25), (50, hem)], 1.4, pen.deep)
    if style in (1, 4):
        for k in range(5):
            pen.oval(52.5, 33 + k * 10.5, 1.2, 1.2, GOLD if style == 1 else WHITE)
    else:
        pen.line([(50, 26), (50, hem)], 0.6, STEEL)


def scarves(pen: Pen, style: int) -> None:
    left, right = pen.vary(82, 87), pen.vary(70, 78)
    for x0, x1, end in ((52, 68, right), (33, 50, left)):
        for k in range(8):
            x = x0 + 1.5 + (x1 - x0 - 3) * k / 7
            pen.line([(x, end - 1), (x + (k % 3 - 1) * 0.5, end + 6)], 1.1, pen.dark)
        lean = -2 if x0 < 50 else 3
        pen.shape([(x0 - lean, 38), (x1 - lean, 38), (x1 + lean / 2, 60), (x1 + lean, end), (x0 + lean, end),
                   (x0 + lean / 2, 60)], smooth=False)  # fmt: skip
    pen.shape([(22, 28), (27, 16), (40, 10), (60, 10), (73, 16), (78, 28), (72, 39), (50, 45), (28, 39)])
    pen.shape([(34, 20), (42, 15), (58, 15), (66, 20), (62, 25), (50, 27), (38, 25)], pen.deep)
    pen.line([(24, 30), (36, 36), (50, 36), (66, 34), (76, 28)], 1, pen.dark)
    pen.line([(30, 20), (36, 29), (50, 31), (64, 29), (70, 20)], 0.9, pen.dark)
    pen.shape([(40, 35), (51, 34), (57, 39), (54, 50), (44, 52), (37, 46)], None if style % 2 else pen.dark)


def sunglasses(pen: Pen, style: int) -> None:
    lens = mix((44, 48, 58), pen.color, 0.25)
    y, tall = 50.0, pen.vary(15.5, 18)
    for side in (1, -1):
        arm = [
            (50 + side * 41, y - 8),
            (50 + side * 45, y - 18),
            (50 + side * 40, y - 25),
            (50 + side * 34, y - 22),
        ]
        pen.band(arm, 4)
    pen.band([(42, y - 5), (50, y - 9), (58, y - 5)], 4.4)
    for side in (1, -1):
        x = 50 + side * 23
        rx, ry = 19.0, tall
        if style == 0:
            pen.oval(x, y, rx, rx)
            pen.oval(x, y, rx - 5, rx - 5, lens)
        else:
            for grow, fill in ((0.0, None), (4.8, lens)):
                w, h = rx + 1.5 - grow, ry - grow
                if style == 3:
                    points = [
                        (-0.8, -0.7),
                        (0.2, -0.85),
                        (1.22, -1.2),
                        (1.0, 0.2),
                        (0.45, 1.0),
                        (-0.5, 0.9),
                        (-0.95, 0.1),
                    ]
                elif style == 2:
                    points = [
                        (-1, -0.8),
                        (0, -0.95),
                        (1.05, -0.85),
                        (1.05, 0),
                        (0.6, 0.95),
                        (-0.3, 1.0),
                        (-0.95, 0.3),
                    ]
                else:
                    points = [
                        (-0.95, -0.9),
                        (0, -1),
                        (1, -0.9),
                        (1.02, 0),
                        (0.9, 0.85),
                        (0, 0.95),
                        (-0.85, 0.85),
                        (-1, 0),
                    ]
                pen.shape([(x + side * px * w, y + py * h) for px, py in points], fill)
        shine = lighter(lens, 0.35)
        pen.line([(x - 7, y + 4), (x + 3, y - 7)], 2, shine)
        pen.line([(x - 2, y + 6), (x + 6, y - 3)], 1.2, shine)


def watches(pen: Pen, style: int) -> None:
    case = {0: GOLD, 1: (96, 100, 104), 2: (58, 60, 66), 3: STEEL}.get(style, STEEL)
    wide = pen.vary(10.5, 12.5)
    for y0, y1 in ((4, 36), (66, 97)):
        near, far = (y1, y0) if y0 < 50 else (y0, y1)
        pen.shape([(50 - wide - 2, near), (50 + wide + 2, near), (50 + wide - 1.5, far),
                   (50 - wide + 1.5, far)], smooth=False)  # fmt: skip
    for k in range(4):
        pen.oval(50, 76 + k * 5, 1, 1.2, pen.deep)
    pen.line([(50 - wide + 1.5, 10), (50 + wide - 1.5, 10)], 1, pen.dark)
    r = pen.vary(24, 26)
    pen.box(50 + r - 1, 46, 50 + r + 4.5, 54, darker(case, 0.15), r=1.5)
    if style == 2:
        pen.box(50 - r + 1, 51 - r, 50 + r - 1, 49 + r, case, r=9)
        pen.box(50 - r + 4, 54 - r, 50 + r - 4, 46 + r, (22, 24, 30), r=7)
        pen.line([(36, 40), (48, 40)], 2.4, (120, 220, 160))
        pen.line(
            [(32, 54), (40, 54), (44, 46), (49, 62), (54, 50), (58, 54), (68, 54)],
            1.8,
            (240, 90, 90),
            smooth=False,
        )
        pen.line([(54, 40), (64, 40)], 2.4, (240, 240, 244))
        return
    pen.oval(50, 50, r, r, case)
    dial = (38, 40, 46) if style == 1 else WHITE
    hand = WHITE if style == 1 else INK
    pen.oval(50, 50, r - 4, r - 4, dial)
    for k in range(12):
        pen.line(
            [(50, 50 - r + 8.5), (50, 50 - r + 6)] if k % 12 == 0 else _tick(k, r),
            1.5 if k % 3 == 0 else 0.9,
            hand,
        )
    pen.line([(50, 50), (40, 43)], 2, hand)
    pen.line([(50, 50), (62, 38)], 1.4, hand)
    pen.line([(50, 56), (50, 34)], 0.7, (206, 60, 54))
    pen.oval(50, 50, 1.6, 1.6, hand)


def _tick(k: int, r: float) -> list[Point]:
    angle = math.radians(30 * k - 90)
    return [(50 + d * math.cos(angle), 50 + d * math.sin(angle)) for d in (r - 8.5, r - 6)]
