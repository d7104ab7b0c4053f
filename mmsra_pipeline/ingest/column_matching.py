"""Which column of a file holds which of our fields: by its name, by a like name, or by what others usually call it."""

import difflib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mmsra_pipeline import columns as c
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.foreign_names import FOREIGN
from mmsra_pipeline.ingest.text_rows import NAMELESS, Header

NAME_CHARS, NAMES_IN_MESSAGE = 60, 40  # a file without a header, or of another kind, may have any
UNIT = re.compile(r"\s*[(\[][^()\[\]]*[)\]]\s*$")  # 'timestamp (s)'
CLOSE, LEAST_CHARS = 0.8, 5  # of misspelt names
TYPED = re.compile(r":(token|float|token_seq|float_seq)$")  # of RecBole's atomic files
ENGLISH: Final[dict[str, tuple[str, ...]]] = {
    c.USER: (
        "user", "userid", "uid", "userno", "username", "customer", "customerid", "customerno", "customernumber",
        "reviewerid", "reviewer", "member", "memberid", "account", "accountid", "client", "clientid", "visitorid",
        "buyer", "buyerid", "shopper", "shopperid", "profileid", "personid", "consumerid", "useridx", "authorid",
    ),
    c.ITEM: (
        "item", "itemid", "itemno", "iid", "asin", "parentasin", "product", "productid", "productcode", "productno",
        "sku", "skuid", "article", "articleid", "articleno", "movie", "movieid", "book", "bookid", "isbn", "track",
        "trackid", "song", "songid", "video", "videoid", "game", "gameid", "goodsid", "newsid", "stockcode",
        "businessid",
    ),
    c.TIME: (
        "timestamp", "time", "ts", "date", "datetime", "unixtime", "unixtimestamp", "unixreviewtime", "epoch", "when",
        "timestampms", "eventtime", "eventtimestamp", "eventdate", "createdat", "created", "creationdate", "tdat",
        "purchasedate", "purchasedat", "orderdate", "orderedat", "invoicedate", "transactiondate", "reviewdate",
        "reviewtime", "rateddate", "dateadded", "visitedat",
    ),
    c.RATING: ("rating", "ratings", "stars", "star", "starrating", "score", "overall", "reviewrating", "userrating",
               "reviewscore"),
    c.REVIEW: ("review", "reviewtext", "reviewbody", "comment", "reviewcontent", "body"),
    c.TITLE: ("title", "itemtitle", "itemname", "name", "productname", "producttitle", "prodname", "movietitle",
              "booktitle"),
    c.DESCRIPTION: ("description", "desc", "itemdescription", "productdescription", "detaildesc", "longdescription",
                    "summary", "abstract"),
    c.CATEGORY: ("category", "categories", "genre", "genres", "producttype", "producttypename", "maincategory",
                 "categoryname"),
    c.TAGS: ("tags", "tag", "keywords", "labels"),
    c.IMAGE: ("image", "images", "picture", "pictures", "photo", "img", "imageurl", "imgurl", "imurl", "imagepath",
              "imagefile", "pictureurl", "imagelink", "cover", "thumbnail", "imagebytes", "imagedata", "imagename",
              "photos",
              "photourl", "coverimage", "coverurl", "mainimage", "productimage", "primaryimage", "jpg", "jpeg", "png"),
}  # fmt: skip
IN_ITEMS: Final = {c.ITEM: ("id",)}
"""What a file with one row an item may call its id; elsewhere 'id' numbers the rows."""
POSITIONS: Final = {
    ("::", 4): (c.USER, c.ITEM, c.RATING, c.TIME),
    ("\t", 4): (c.USER, c.ITEM, c.RATING, c.TIME),
    ("::", 3): (c.ITEM, c.TITLE, c.CATEGORY),
    ("|", 24): (c.ITEM, c.TITLE),
}
"""Files of MovieLens: they have no header, and no one else writes such."""


def like(name: str) -> str:
    """Return what two names have in common that differ in case, blanks, signs, accents, a type or a unit behind them.

    >>> like("User ID"), like("user_id:token"), like(" userId "), like("Rating (1-5)")
    ('userid', 'userid', 'userid', 'rating')
    """
    plain = TYPED.sub("", unicodedata.normalize("NFKD", name).casefold().strip())
    return "".join(char for char in UNIT.sub("", plain) or plain if char.isalnum())


SYNONYMS: Final = {name: (*usual, *map(like, FOREIGN[name].split())) for name, usual in ENGLISH.items()}
"""What others call our columns, as ``like`` writes names."""


def is_known(name: str) -> bool:
    """Whether a file's column has a name that we know."""
    return like(name) in KNOWN or like(last_part(name)) in KNOWN


def last_part(name: str) -> str:
    """Return a name without the table before it, as joins write it.

    >>> last_part("reviews.user_id"), last_part("user.id")
    ('user_id', 'user.id')
    """
    last = name.rpartition(".")[2]
    return last if len(last) >= LEAST_CHARS - 1 else name


def column_names(
    header: Header,
    wanted: Sequence[str],
    needed: Sequence[str],
    stated: Mapping[str, str | int],
    path: object,
    where: str,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, str]:
    """Return the file's column of each of our fields; of one that is optional, not stated and not there none.

    A name that is stated or ours goes first, then one that differs in case, blanks or signs, then a usual other name,
    where just one is there.

    Args:
        header: the columns of the file.
        wanted: our fields.
        needed: those that must be there.
        stated: what the data set's YAML says the file calls them, or their places from 1 on.
        path: of the file, for the error.
        where: the YAML, for the error.
        say: is given a note of each column that was not stated and has another name than ours.

    Raises:
        DataError: if a column is missing, with the nearest name that is there, or several could be it.
    """
    names: dict[str, str] = {}
    for name in wanted:
        theirs = str(stated.get(name, name))
        if theirs in header.names:
            names[name] = theirs
        elif theirs in header.first_row and name in stated:
            names[name] = header.first_row[theirs]
    if header.headerless and not names:
        places = POSITIONS.get((header.delimiter, len(header.names)), ())
        names = {name: str(place) for place, name in enumerate(places, start=1) if name in wanted}
        if names:
            assignment = ", ".join(f"{name} = column {place}" for name, place in names.items())
            say(f"has no header and is read as a file of MovieLens: {assignment}")
    for name in wanted:
        if name in names:
            continue
        for fits in (_alike(str(stated.get(name, name))), *([] if name in stated else [_usual(name, wanted)])):
            found = [other for other in header.names if other not in names.values() and fits(other)]
            if len(found) > 1:
                raise DataError(_several(name, found, path, where))
            if found:
                names[name] = found[0]
                say(f"column {found[0]!r} is read as {name}")
                break
        else:
            if name in stated or name in needed:
                raise DataError(_missing(name, str(stated.get(name, name)), header, wanted, path, where))
    _say_unread(header, wanted, names, say)
    repeated = next((theirs for theirs in names.values() if theirs in header.repeated), None)
    if repeated is not None:
        raise DataError(
            f"{path}: the header names {repeated[:NAME_CHARS]!r} more than once. Rename one of them, so that it is "
            "clear which is meant."
        )
    return names


def _say_unread(header: Header, wanted: Sequence[str], names: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Say which columns are not read, where one may be a field of ours that no column is read as."""
    used = {*names.values()}
    unread = [name for name in header.names if name not in used and NAMELESS not in name and len(name) <= NAME_CHARS]
    missing = [name for name in wanted if name not in names]
    if header.headerless or not unread:
        return
    for field in missing:
        known = [name for name in {like(field), *ENGLISH[field]} if len(name) >= LEAST_CHARS]
        near = next((name for name in unread if _is_near(like(name), known)), None)
        if near is not None:
            say(f"column {near!r} is not read; if it holds {field}, state `columns: {{{field}: {near}}}`")
    needed = {c.TIME} if c.USER in wanted else {c.TITLE, c.DESCRIPTION}
    if needed <= set(missing):
        field = c.TIME if c.USER in wanted else c.TITLE
        say(
            f"no column is read as {' or '.join(sorted(needed))}; not read are: {_listed(unread)}. If one is it, state "
            f"`columns: {{{field}: NAME}}`"
        )


def _is_near(name: str, known: Sequence[str]) -> bool:
    """Whether a name is one of the known ones misspelt, or with a word before it."""
    return name.endswith(tuple(known)) or bool(difflib.get_close_matches(name, known, 1, CLOSE) and name[-2:] != "id")


def _alike(sought: str) -> Callable[[str], bool]:
    return lambda other: like(other) == like(sought) != ""


def _usual(name: str, wanted: Sequence[str]) -> Callable[[str], bool]:
    usual = {like(name), *SYNONYMS.get(name, ()), *(IN_ITEMS.get(name, ()) if c.USER not in wanted else ())}
    return lambda other: like(other) in usual or like(last_part(other)) in usual


def _several(name: str, found: Sequence[str], path: object, where: str) -> str:
    return (
        f"{path}: several columns could be {name!r}: {', '.join(found)}. Say in {where} which one is: "
        f"`columns: {{{name}: {found[0]}}}`."
    )


def _missing(name: str, theirs: str, header: Header, wanted: Sequence[str], path: object, where: str) -> str:
    if header.headerless:
        option = "columns" if c.USER in wanted else "item_columns"
        order = wanted if c.USER in wanted else (c.ITEM, c.TITLE)
        places = ", ".join(f"{field}: {place}" for place, field in zip(range(1, len(header.names) + 1), order))
        return (
            f"{path}: has no header, its first row is data: {_listed([*header.first_row] or header.names)}. Say in "
            f"{where} which column holds what, by its place: `header: false` and for example "
            f"`{option}: {{{places}}}`; if the first row is a header, `header: true`."
        )
    sought = repr(name) if theirs == name else f"{name!r} (called {theirs!r} under `columns:`)"
    close = difflib.get_close_matches(theirs, [other for other in header.names if len(other) <= NAME_CHARS], n=1)
    ending = [
        other for other in header.names if name in (c.USER, c.ITEM) and like(other).endswith(("id", "code", "no"))
    ]
    own = [other for other in ending if like(other) not in KNOWN and len(other) <= NAME_CHARS]
    guess = own[0] if own and not close else close[0] if close else "THEIR_NAME"
    separator = {",": "commas", "\t": "tabs", ";": "semicolons"}.get(header.delimiter, repr(header.delimiter))
    return (
        f"{path}: column {sought} is missing. Found, separated by {separator}: {_listed(header.names)}. "
        f"Say in {where} what the file calls it: `columns: {{{name}: {guess}}}` (`item_columns:` where the items file "
        "calls it otherwise); where this is no header, `header: false`; where cells are separated otherwise, "
        "`delimiter:`."
    )


def _listed(names: Sequence[str]) -> str:
    listed = [name if len(name) <= NAME_CHARS else f"{name[:NAME_CHARS]}…" for name in names[:NAMES_IN_MESSAGE]]
    if len(names) > NAMES_IN_MESSAGE:
        listed.append(f"and {len(names) - NAMES_IN_MESSAGE} more")
    return ", ".join(listed) or "none"


KNOWN: Final = frozenset(name for names in SYNONYMS.values() for name in names) | {like(name) for name in SYNONYMS}
