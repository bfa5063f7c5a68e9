"""Which field of a catalogue plays which role, and how it is indexed: guessed, overridden, shown.

A guess looks at names (English, Chinese, and those of the usual exports) and at values of the sampled rows.
`attributes` may end in `*` ("attr_t_*"): of a family of thousands of fields a sample shows but a part.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from hybrid.catalogue.field_statistics import Profile, base_name, image_rank, media_rank, profile_rows, rank
from hybrid.contracts import ROLES, FieldMap, Mark, values_at
from hybrid.errors import UsageError

MAX_TYPES = 200
MAX_FACETS = 8
_MAX_ATTRIBUTES = 40
_FAMILY = 12  # as many text fields with one prefix are a family
_FACET_ROLES = ("category", "brand", "color", "tags")
_KEYWORD_DISTINCT, _KEYWORD_FILLED = 50, 0.3
_EXAMPLE = "title=name+name_zh,image=picture,price=offer.price"

_Profiles = Mapping[str, Profile]
_Roles = dict[str, tuple[str, ...]]


def guess_fields(rows: Sequence[dict[str, Any]], mapping: str = "", decimal: Mark | None = None) -> FieldMap:
    """The FieldMap of a catalogue, from its first rows. `mapping` overrides the guess before id and title are
    asked for, so that it can supply them. decimal: the mark before decimals, where somebody has said it.

    Raises:
        UsageError: nothing looks like an id or a title, or the mapping cannot be used (see `override`).
    """
    profiles = profile_rows(rows, decimal)
    roles = _overridden(_guess_roles(profiles), mapping, profiles, rows)
    return _field_map(roles, profiles)


def override(fields: FieldMap, mapping: str, rows: Sequence[dict[str, Any]]) -> FieldMap:
    """The FieldMap with some roles set: "title=name+name_zh,price=offer.price"; "brand=" removes a role.

    A field that is given a role loses the others that were guessed. A comma or plus within a field's name is
    written with a backslash before it.

    Raises:
        UsageError: malformed, an unknown role, a field in no sampled row, a price or date that is none, or
            id or title removed.
    """
    profiles = profile_rows(rows)
    return _field_map(_overridden(dict(fields.roles), mapping, profiles, rows), profiles)


def chosen_roles(mapping: str) -> Collection[str]:
    """The roles that a mapping names, "brand=" too.

    Raises:
        UsageError: malformed, or an unknown role.
    """
    return named_roles(mapping).keys()


def expand(paths: Sequence[str], source: Mapping[str, Any]) -> list[str]:
    """The paths, each once, with each wildcard replaced by the fields of this row that match it."""
    expanded: dict[str, None] = {}
    for path in paths:
        if path.endswith("*") and path not in source:
            # Sorted by name: Elasticsearch returns the keys of a document in no fixed order.
            expanded.update(dict.fromkeys(sorted(_matching(path[:-1], source))))
        else:
            expanded[path] = None
    return list(expanded)


def describe(fields: FieldMap, rows: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """The table that the command prints before it indexes: (role or kind, fields, example), roles first."""
    table = [(role, fields.roles[role]) for role in ROLES if fields.roles.get(role)]
    table += [("facet", (path,)) for path in fields.facets]
    for kind, types in (("number", ("long", "double")), ("date", ("date",)), ("boolean", ("boolean",))):
        if paths := tuple(path for path, named in fields.types.items() if named in types):
            table.append((kind, paths))
    return [(role, _listed(paths), _example(paths, rows)) for role, paths in table]


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - 6} more" if len(paths) > 6 else ""
    return ", ".join(paths[:6]) + more


def _example(paths: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    for row in rows:
        for path in expand(paths, row):
            for value in values_at(row, path):
                return " ".join(str(value).split())[:80]
    return ""


def _matching(prefix: str, source: Mapping[str, Any]) -> list[str]:
    matches = [key for key in source if key.startswith(prefix)]
    head, _, rest = prefix.partition(".")
    if "." in prefix and head in source:
        inner = source[head]
        for item in inner if isinstance(inner, list) else [inner]:
            if isinstance(item, Mapping):
                matches += [f"{head}.{path}" for path in _matching(rest, item)]
    return matches


# ---- roles ----------------------------------------------------------------------------------------------


def _guess_roles(profiles: _Profiles) -> _Roles:
    roles: _Roles = {}
    identifier = _guess_id(profiles)
    if identifier:
        roles["id"] = (identifier,)
    titles, codes = _guess_title(profiles)
    roles["title"] = titles
    taken = {*titles, *codes, *roles.get("id", ())}

    def named(role: str, *kinds: str) -> list[Profile]:
        """Fields with a name of the role and values of these kinds, best name first."""
        fitting = [
            p for p in profiles.values()
            if p.path not in taken and p.kind in kinds and rank(p.path, role) is not None
        ]  # fmt: skip
        return sorted(fitting, key=lambda p: rank(p.path, role) or 0)

    def best(candidates: Sequence[Profile]) -> tuple[str, ...]:
        return _with_variants(candidates[0], candidates) if candidates else ()

    # A SKU that serves as id is still typed into the search box.
    text_codes = [p.path for p in profiles.values() if rank(p.path, "code") is not None and p.path not in titles]
    text_codes.sort(key=lambda path: rank(path, "code") or 0)
    roles["code"] = (*codes, *text_codes)
    taken.update(text_codes)
    for role in ("brand", "color"):
        roles[role] = best([p for p in named(role, "text") if p.mean_length <= 100])
        taken.update(roles[role])
    for role, kinds in (("category", ("text",)), ("tags", ("text",)), ("description", ("text",))):
        roles[role] = tuple(p.path for p in named(role, *kinds) if role != "category" or not p.is_product_kind)
        taken.update(roles[role])
    prices = [p for p in profiles.values() if rank(p.path, "price") is not None and p.number_share >= 0.8]
    roles["price"] = tuple(p.path for p in sorted(prices, key=lambda p: rank(p.path, "price") or 0)[:1])
    roles["date"] = tuple(p.path for p in named("date", "date")[:1])
    roles["regular_price"] = tuple(
        p.path for p in named("regular_price", "long", "double") if p.path not in roles["price"]
    )[:1]
    roles["currency"] = tuple(p.path for p in named("currency", "text") if p.mean_length <= 4)[:1]
    taken.update(roles["currency"])
    stocks = named("stock", "text", "boolean", "long", "double")
    roles["stock"] = tuple(p.path for p in stocks if p.kind != "text" or p.flag_share >= 0.9)[:1]
    taken.update(roles["stock"])
    roles["rating"] = tuple(p.path for p in named("rating", "long", "double"))[:1]
    for role in ("video", "audio"):
        files = [p for p in profiles.values() if p.path not in taken and media_rank(p, role) is not None]
        roles[role] = tuple(p.path for p in sorted(files, key=lambda p: media_rank(p, role) or 0)[:1])
        taken.update(roles[role])
    pictures = [p for p in profiles.values() if p.path not in taken and image_rank(p) is not None]
    roles["image"] = tuple(p.path for p in sorted(pictures, key=lambda p: image_rank(p) or (0, 0))[:1])
    taken.update(roles["image"])
    roles["url"] = tuple(p.path for p in named("url", "url", "text") if p.kind == "url" or p.slashed)[:1]
    taken.update(roles["url"])
    families = _families(profiles, {p.path: p for p in profiles.values() if p.path not in taken})
    prose = [
        p.path for p in profiles.values() if p.path not in taken and p.is_prose and not p.path.startswith(families)
    ]  # fmt: skip
    roles["description"] += tuple(prose)
    taken.update(prose)
    roles["attributes"] = _guess_attributes(profiles, taken, families)
    return {role: roles[role] for role in ROLES if roles.get(role)}


def _guess_id(profiles: _Profiles) -> str | None:
    # A field that is plainly named `id` is the id, though some rows lack it: those are rejected one by one.
    able = [
        p
        for p in profiles.values()
        if p.kind in ("text", "long") and not p.listed and p.share >= (0.5 if p.path == "id" else 0.95)
    ]
    named = sorted(
        (p for p in able if rank(p.path, "id") is not None), key=lambda p: rank(p.path, "id") or 0
    )  # fmt: skip
    ending = [p for p in able if base_name(p.path).endswith("id") and p.unique == 1]
    # An export with a line for each variant repeats its ids: better those than none. Shopify's has the title in
    # the first line of a handle only, so there the handle is the id, though the SKUs are unique.
    sure = [p for p in named if p.unique >= {"handle": 0.1, "url_handle": 0.1, "id": 0.5}.get(base_name(p.path), 0.95)]
    for candidates in (sure, ending, [p for p in named if p.unique >= 0.3]):
        if candidates:
            return candidates[0].path
    return None


def _guess_title(profiles: _Profiles) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The title with its language variants, and fields named like a title that hold model numbers."""
    named = [p for p in profiles.values() if p.kind in ("text", "long") and rank(p.path, "title") is not None]
    named.sort(key=lambda p: (p.code_share > 0.3 or p.share < 0.5 or p.kind != "text", rank(p.path, "title")))
    if not named:
        return (), ()
    titles = _with_variants(named[0], named)
    codes = tuple(
        p.path for p in named
        if p.path not in titles and (p.code_share > 0.3 or _is_model(p, named[0]))
    )  # fmt: skip
    return titles, codes


def _is_model(other: Profile, title: Profile) -> bool:
    """Mostly unique, with digits, and repeated in the title: "dv7-1211ea" in "HP Pavilion dv7-1211ea"."""
    pairs = [(a.lower(), b.lower()) for a, b in zip(other.first, title.first, strict=True) if a and b]
    within = sum(a in b and a != b for a, b in pairs)
    return bool(pairs) and within > 0.7 * len(pairs) and other.unique > 0.8 and other.digit_share > 0.5


def _with_variants(chosen: Profile, candidates: Sequence[Profile]) -> tuple[str, ...]:
    """The field and those that differ from it in the language only: name, name_zh."""
    base = base_name(chosen.path)
    others = [p.path for p in candidates if p is not chosen and base_name(p.path) == base]
    return (chosen.path, *others)


def _guess_attributes(profiles: _Profiles, taken: set[str], families: tuple[str, ...]) -> tuple[str, ...]:
    free = {p.path: p for p in profiles.values() if p.path not in taken}
    single = [
        p for p in free.values()
        if p.kind == "text" and not p.path.startswith(families) and not _is_of_variant(p.path, profiles)
        and (p.distinct > 1 or p.rows < 20) and not p.is_identifier and not p.is_product_kind
        and not any(rank(p.path, role) is not None for role in ("price", "date", "url"))
    ]  # fmt: skip
    attributes = {p.path for p in sorted(single, key=lambda p: -p.filled)[:_MAX_ATTRIBUTES]}
    return (*(path for path in free if path in attributes), *(f"{prefix}*" for prefix in families))


def _is_of_variant(path: str, profiles: _Profiles) -> bool:
    """What tells a variant apart for programs, or stands in the product as well, with the values of all variants."""
    head, _, name = path.partition(".")
    return head == "variants" and (name in ("id", "currency", "image", "url") or name in profiles)


def _families(profiles: _Profiles, free: _Profiles) -> tuple[str, ...]:
    """Prefixes that many free text fields share, and hardly any other field."""
    prefixes: dict[str, list[Profile]] = {}
    for profile in profiles.values():
        for mark in re.finditer(r"[_.:\- ]+", profile.path):
            if 0 < mark.end() < len(profile.path):
                prefixes.setdefault(profile.path[: mark.end()], []).append(profile)
    families: list[str] = []
    for prefix in sorted(prefixes, key=len):
        members = prefixes[prefix]
        text = sum(p.kind == "text" and p.path in free for p in members)
        if (
            text >= _FAMILY and text >= 0.7 * len(members)
            and all(p.path in free for p in members) and not prefix.startswith(tuple(families))
        ):  # fmt: skip
            families.append(prefix)
    return tuple(families)


# ---- overriding -----------------------------------------------------------------------------------------


def _overridden(roles: _Roles, mapping: str, profiles: _Profiles, rows: Sequence[dict[str, Any]]) -> _Roles:
    overrides = named_roles(mapping)
    chosen = {path for paths in overrides.values() for path in paths}
    for role, paths in overrides.items():
        for path in paths:
            _check(role, path, profiles, rows)
    for role, paths in roles.items():
        if role not in overrides and role != "id":
            roles[role] = tuple(path for path in paths if path not in chosen)
    roles.update(overrides)
    roles = {role: roles[role] for role in ROLES if roles.get(role)}
    for role in ("id", "title"):
        if role not in roles:
            raise UsageError(
                f"no field looks like the {role}; fields: {_some(list(profiles))}; name it with --map {role}=FIELD"
            )
    return roles


def named_roles(mapping: str) -> _Roles:
    """Role -> fields, as a mapping names them; no field for "brand=".

    Raises:
        UsageError: malformed, or an unknown role.
    """
    roles: _Roles = {}
    for part in re.split(r"(?<!\\),", mapping):
        if not part.strip():
            continue
        role, equals, paths = part.partition("=")
        role = role.strip()
        if not equals or not role:
            raise UsageError(f"cannot read {part.strip()!r} in the field mapping; write it like {_EXAMPLE}")
        if role not in ROLES:
            raise UsageError(f"no role {role!r}; roles: {', '.join(ROLES)}")
        if role in roles:
            raise UsageError(f"role {role} is given twice; join its fields with a plus, like {_EXAMPLE}")
        names = [re.sub(r"\\([,+])", r"\1", name.strip()) for name in re.split(r"(?<!\\)\+", paths)]
        if len(names) > 1 and "" in names:
            raise UsageError(f"cannot read {part.strip()!r} in the field mapping; write it like {_EXAMPLE}")
        roles[role] = tuple(dict.fromkeys(name for name in names if name))
    return roles


def _check(role: str, path: str, profiles: _Profiles, rows: Sequence[dict[str, Any]]) -> None:
    literal = path in profiles or any(next(values_at(row, path), None) is not None for row in rows)
    if path.endswith("*") and not literal and role != "attributes":
        raise UsageError(f"{role}={path}: only attributes can end in *; name the fields one by one")
    if not literal and not (path.endswith("*") and any(expand([path], row) for row in rows)):
        close = difflib.get_close_matches(path, profiles, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"fields: {_some(list(profiles))}"
        raise UsageError(f"{role}={path}: no such field in the first {len(rows)} rows; {hint}")
    profile = profiles.get(path)
    if role == "price" and (profile is None or profile.number_share == 0):
        raise UsageError(f"price={path}: its values are not numbers; choose a field of numbers")
    if role == "date" and (profile is None or profile.date_share == 0):
        raise UsageError(f"date={path}: its values are not ISO dates like 2024-05-31; choose another field")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


# ---- types and facets -----------------------------------------------------------------------------------


def _field_map(roles: _Roles, profiles: _Profiles) -> FieldMap:
    types = _types(roles, profiles)
    flags = tuple(path for path in roles.get("stock", ()) if path in profiles and profiles[path].is_said)
    types |= dict.fromkeys(flags, "boolean")
    lists = {path: mark for path, profile in profiles.items() if (mark := _mark_between(roles, profile))}
    paths = {path: mark for path in roles.get("category", ()) if (mark := _level_mark(profiles.get(path)))}
    marks = {path: profiles[path].mark for path, kind in types.items() if kind in ("long", "double")}
    return FieldMap(
        roles=roles,
        types=types,
        facets=_facets(roles, types, profiles),
        marks={path: mark for path, mark in marks.items() if mark is not None},
        lists=lists,
        paths=paths,
        flags=flags,
    )


def _mark_between(roles: _Roles, profile: Profile) -> str:
    """What is between the values of one text: of tags, and of pictures; "" where each text is one value."""
    if profile.path in roles.get("image", ()):
        return profile.pictures_between
    return profile.words_between if profile.path in roles.get("tags", ()) and profile.kind == "text" else ""


def _level_mark(profile: Profile | None) -> str:
    """What is between the levels of a category's path; "" where categories have none."""
    return "" if profile is None else profile.levels_between


def _types(roles: _Roles, profiles: _Profiles) -> dict[str, str]:
    first = [path for role in (*_FACET_ROLES, "price", "date") for path in roles.get(role, ())]
    # A field that is an object in other rows can be mapped as neither.
    parents = {path[: mark.start()] for path in profiles for mark in re.finditer(r"\.", path)}
    mixed = tuple(f"{path}." for path in profiles if path in parents)
    types: dict[str, str] = {}
    for path in (*first, *(p.path for p in sorted(profiles.values(), key=lambda p: -p.filled))):
        profile = profiles.get(path)
        if profile is None or path in types or path in parents or f"{path}.".startswith(mixed):
            continue
        if any(not part.strip() for part in path.split(".")) or path.startswith("_"):
            continue  # names that Elasticsearch does not take, or keeps for itself
        kind = _type(profile, roles)
        if kind and len(types) < MAX_TYPES:
            types[path] = kind
    return types


def _type(profile: Profile, roles: _Roles) -> str | None:
    playing = {role for role, paths in roles.items() if profile.path in paths}
    if playing & {"price", "regular_price"}:
        return "double"  # prices that happen to be whole in the sample need not be so later
    if "date" in playing:
        return "date"
    if (
        playing & {"id", "code", "title", "description", "image", "video", "audio", "url"}
        or rank(profile.path, "code") is not None
    ):
        return None
    if profile.kind in ("long", "double", "boolean", "date"):
        # Two strings of digits prove nothing: the third may be "10-20".
        return profile.kind if not profile.quoted or profile.share >= _KEYWORD_FILLED else None
    if playing & set(_FACET_ROLES):
        return "keyword" if profile.mean_length <= 100 else None
    few = profile.distinct <= min(_KEYWORD_DISTINCT, profile.filled / 2)
    short = profile.mean_length <= 60
    return (
        "keyword" if profile.kind == "text" and few and short and profile.share >= _KEYWORD_FILLED
        and not profile.markup_share else None
    )  # fmt: skip


def _facets(roles: _Roles, types: Mapping[str, str], profiles: _Profiles) -> tuple[str, ...]:
    facets: list[str] = []
    variants: list[str] = []
    for role in _FACET_ROLES:
        bases: set[str] = set()
        for path in roles.get(role, ()):
            if path in types and not profiles[path].is_identifier:
                (variants if base_name(path) in bases else facets).append(path)
                bases.add(base_name(path))
    facets += [path for path in roles.get("price", ()) if path in types]
    facets += [p for p, kind in types.items() if kind == "keyword" and profiles[p].distinct > 1]
    # The same facet in another language comes last: a shopper needs one of the two.
    main = [path for path in dict.fromkeys(facets) if path not in variants]
    return tuple([*main, *variants][:MAX_FACETS])
