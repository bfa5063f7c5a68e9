"""What a product comes in, as the rows of each platform's export say it. Pure. Rows are plain name -> text."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hybrid.catalogue.values import split_list

#: Options of a variant: the name of each, with its values.
Options = dict[str, list[str]]


def woocommerce(row: Mapping[str, str]) -> Options:
    options: Options = {}
    number = 1
    while f"attribute_{number}_name" in row or f"attribute_{number + 1}_name" in row:  # the first may be empty
        name, values = row.get(f"attribute_{number}_name"), row.get(f"attribute_{number}_value_s", "")
        if name and (each := split_list(values, ",")):
            options[name] = each
        number += 1
    return options


def shopify(row: Mapping[str, str]) -> Options:
    values = {number: row.get(f"option{number}_value", "") for number in (1, 2, 3)}
    # A product without variants has one, of one option: Title, which is Default Title.
    return {
        row.get(f"option{number}_name") or str(number): [value]
        for number, value in values.items()
        if value and value != "Default Title"
    }


def magento(row: Mapping[str, str]) -> Options:
    return named_values(row.get("additional_attributes", ""), ",")


def prestashop(row: Mapping[str, str]) -> Options:
    """Features: "Colour:Blue:1:0,Material:Cotton"."""
    options: Options = {}
    for column, text in row.items():
        if column.startswith("feature_name_value"):
            for part in split_list(text, ","):
                name, *rest = part.split(":")
                if rest and name.strip() and rest[0].strip():
                    options.setdefault(name.strip(), []).append(rest[0].strip())
    return options


def google(row: Mapping[str, str]) -> Options:
    return {name: [row[name]] for name in ("color", "size", "pattern", "material") if row.get(name)}


def named_values(text: str, between: str) -> Options:
    """ "color=Blue,size=M" as {"color": ["Blue"], "size": ["M"]}; a value may hold the comma."""
    options: Options = {}
    for part in re.split(rf"{re.escape(between)}(?=[\w ]+=)", text):
        name, equals, value = part.partition("=")
        if equals and name.strip() and value.strip():
            options.setdefault(name.strip(), []).extend(split_list(value, "|"))
    return options
