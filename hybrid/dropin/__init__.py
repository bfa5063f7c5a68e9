"""The drop-in `_search`: the body that a shop's code sends today comes back in the same shape, better ranked."""

from hybrid.dropin.limits import MAX_BODY_BYTES, MAX_SEARCHES, Limits
from hybrid.dropin.request import IncomingSearch, ShopSearch
from hybrid.dropin.service import DropIn, Outcome

__all__ = ["MAX_BODY_BYTES", "MAX_SEARCHES", "DropIn", "IncomingSearch", "Limits", "Outcome", "ShopSearch"]
