# ruff: noqa: E501  # a case is read at one look
"""Files as people have them, rebuilt by code: what differs from a clean data set of twelve reviews, and what is right."""

import bz2
import datetime as dt
import gzip
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

START = 1_704_103_200  # 2024-01-01 10:00 UTC
ROWS = [(user, f"p{item}", START + 86_400 * (4 * at + item - 1))
        for at, user in enumerate(("ana", "bo", "cy")) for item in range(1, 5)]  # fmt: skip
TITLES = {f"p{item}": f"Lamp number {item - 1}" for item in range(1, 5)}
ITEMS = "item_id,title\n" + "".join(f"{item},{title}\n" for item, title in TITLES.items())


def day(time: int, pattern: str = "%Y-%m-%d %H:%M:%S") -> str:
    return dt.datetime.fromtimestamp(time, dt.UTC).strftime(pattern)


def table(header: str = "user_id,item_id,timestamp\n", row: Callable[[str, str, int, int], str] | None = None) -> str:
    row = row or (lambda user, item, time, _: f"{user},{item},{time}")
    return header + "".join(row(*each, place) + "\n" for place, each in enumerate(ROWS))


def parquet(columns: Mapping[str, Any] | pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(dict(columns)), sink, **options)
    return sink.getvalue()


def picture(kind: str = "JPEG", size: tuple[int, int] = (64, 48)) -> bytes:
    image, sink = Image.linear_gradient("L").resize(size).convert("RGB"), io.BytesIO()
    image.paste((200, 30, 30), (0, 0, size[0] // 2, size[1]))
    image.save(sink, kind)
    return sink.getvalue()


USERS, IDS, TIMES = (list(column) for column in zip(*ROWS, strict=True))
CLEAN = {"user_id": USERS, "item_id": IDS, "timestamp": TIMES}


@dataclass(frozen=True)
class Case:
    """A data set, and what must come of it."""

    files: Mapping[str, str | bytes]
    options: Mapping[str, Any] = field(default_factory=dict)
    format: str = "tables"
    error: str = ""
    """A pattern of the message, where reading must stop."""
    notes: tuple[str, ...] = ()
    """Patterns of what must be said."""
    reasons: Mapping[int, str] = field(default_factory=dict)
    """Patterns of the reasons of refused reviews, by line."""
    other: Callable[[Any], bool] | None = None
    """What must hold of what was read, where it is not all of the clean reviews."""


def reviews(**changes: Any) -> Case:
    return Case({"interactions.csv": changes.pop("content"), "items.csv": changes.pop("items", ITEMS)}, **changes)


def of_parquet(columns: Any, name: str = "interactions.parquet", items: str = ITEMS, **changes: Any) -> Case:
    return Case({name: parquet(columns), "items.csv": items}, {"interactions": name}, **changes)


def json_review(user: str, item: str, time: object, **changes: Any) -> dict[str, Any]:
    review = {"rating": 5.0, "title": "Nice", "text": "Works.", "asin": item, "parent_asin": item, "user_id": user}
    return review | {"timestamp": time, "helpful_vote": 0} | changes


REVIEWS23 = [json_review(user, item, time * 1000) for user, item, time in ROWS]
META23 = [{"parent_asin": item, "title": title, "features": ["Bright"], "store": "Lux", "categories": []}
          for item, title in TITLES.items()]  # fmt: skip
OLD = [{"overall": 5.0, "reviewerID": user, "asin": item, "reviewText": "Good.", "unixReviewTime": time, "verified": True}
       for user, item, time in ROWS]  # fmt: skip


def lines(*rows: Mapping[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def amazon(shop: str | bytes, meta: str | bytes | None = None, **changes: Any) -> Case:
    files = {"Shop.jsonl": shop} | ({} if meta is None else {"meta_Shop.jsonl": meta})
    return Case(files, format=changes.pop("format", "amazon-2023"), **changes)


def changed(rows: list[dict[str, Any]], place: int, **changes: Any) -> list[dict[str, Any]]:
    return [*rows[:place], rows[place] | changes, *rows[place + 1 :]]


def spark(endings: str = "snappy.parquet") -> dict[str, str | bytes]:
    parts = {
        f"i.parquet/user_id={user}/part-{place:05}.{endings}": parquet(
            {"item_id": IDS[4 * place : 4 * place + 4], "timestamp": TIMES[4 * place : 4 * place + 4]}
        )
        for place, user in enumerate(("ana", "bo", "cy"))
    }
    return {"i.parquet/_SUCCESS": b"", "items.csv": ITEMS, **parts}


FLOATS = {"ana": "1.0", "bo": "2.0", "cy": "3.0"}
NUMBERS = "item_id,title\n" + "".join(f"10{item[1]},{title}\n" for item, title in TITLES.items())


def ids_are(*users: str) -> Callable[[Any], bool]:
    return lambda raw: (
        sorted(raw.reviews["user_id"].unique()) == sorted(users)
        and set(raw.reviews["item_id"]) <= set(raw.items["item_id"])
    )


def titles_are(*titles: str) -> Callable[[Any], bool]:
    return lambda raw: raw.items["title"].fillna("").tolist() == list(titles)


def milliseconds(raw: Any) -> list[int]:
    return raw.reviews["timestamp"].tolist()


CASES: dict[str, Case] = {
    # Separators, headers, encodings
    "01_semicolon": reviews(
        content=table("user_id;item_id;timestamp;rating\n", lambda u, i, t, _: f"{u};{i};{day(t, '%Y-%m-%d %H:%M')};4,5"),
        notes=("separated by semicolons",),
        other=lambda raw: raw.reviews["rating"].eq(4.5).all() and milliseconds(raw) == [t * 1000 for t in TIMES],
    ),
    "01b_sep_line": reviews(content="sep=,\n" + table(), notes=("states its separator",)),
    "02_no_header": reviews(
        content=table(""),
        error=r"interactions\.csv: has no header, its first row is data: ana, p1, 1704103200\. .*`columns: \{user_id: 1",
    ),
    "02b_no_header_named": reviews(
        content=table(""),
        options={"columns": {"user_id": "ana", "item_id": "p1", "timestamp": "1704103200"},
                 "item_columns": {"item_id": "item_id"}},
    ),
    "02c_no_header_by_place": reviews(
        content=table(""), options={"columns": {"user_id": 1, "item_id": 2, "timestamp": 3},
                                    "item_columns": {"item_id": "item_id"}, "header": False,
                                    "item_files": {"header": True}}),
    "03_movielens_dat": Case(
        {"ratings.dat": table("", lambda u, i, t, _: f"{u}::{i}::4::{t}"), "items.csv": ITEMS},
        {"interactions": "ratings.dat"}, notes=("read as a file of MovieLens",)),
    "03b_tabs_of_recbole": Case(
        {"i.inter": table("user_id:token\titem_id:token\ttimestamp:float\n", lambda u, i, t, _: f"{u}\t{i}\t{t}"),
         "items.csv": ITEMS}, {"interactions": "i.inter"}, notes=("tabs", "'user_id:token' is read as user_id")),
    # Times
    "04_dayfirst": reviews(
        content=table(row=lambda u, i, t, _: f"{u},{i},{day(t, '%d-%m-%Y %H:%M')}"),
        error=r"'01-01-2024 10:00' may have the day or the month first.*`time_format: day-first`"),
    "04_dayfirst_stated": reviews(
        content=table(row=lambda u, i, t, _: f"{u},{i},{day(t, '%d-%m-%Y %H:%M')}"), options={"time_format": "day-first"}),
    "04b_monthfirst_shown": reviews(
        content=table(row=lambda u, i, t, n: f"{u},{i},{day(t, '%m/%d/%Y %I:%M %p')}") + "dan,p1,01/29/2024 10:00 AM\n",
        notes=("times are month-first, as '01/29/2024 10:00 AM' shows",),
        other=lambda raw: milliseconds(raw)[:12] == [t * 1000 for t in TIMES] and milliseconds(raw)[12] == 1_706_522_400_000),
    "04c_excel_serial": reviews(
        content=table(row=lambda u, i, t, _: f"{u},{i},{t / 86400 + 25569:.6f}"), notes=("days of a spreadsheet",)),
    "04d_mixed_one_in_12": reviews(
        content=table(row=lambda u, i, t, n: f"{u},{i},{'01:21.7' if n == 5 else day(t)}"),
        reasons={7: "neither ISO 8601 .* `time_format:`"}, other=lambda raw: len(raw.reviews) == 11),
    "05_bigquery_utc": reviews(content=table(row=lambda u, i, t, _: f"{u},{i},{day(t)} UTC")),
    "05b_offsets": reviews(
        content=table(row=lambda u, i, t, n: f"{u},{i},{day(t + 7200)}+02:00" if n % 2 else f"{u},{i},{day(t)}Z")),
    "06_nanoseconds": reviews(content=table(row=lambda u, i, t, _: f"{u},{i},{t}000000000")),
    "07_scientific_times": reviews(
        content=table(row=lambda u, i, t, _: f"{u},{i},1.70E+12"), notes=(r"12 times .* rounded, such as '1\.70E\+12'",),
        other=lambda raw: len(raw.reviews) == 12),
    "42_thousands": reviews(content=table(row=lambda u, i, t, _: f'{u},{i},"{t:,}"'), notes=("read as numbers",)),
    "38_times_zero_future": reviews(
        content=table(row=lambda u, i, t, n: f"{u},{i},{[0, -5, 4102444800, ''][n] if n < 4 else t}"),
        reasons={3: "does not lie between 1970 and 2200", 5: "timestamp is empty"},
        other=lambda raw: milliseconds(raw)[:2] == [0, 4_102_444_800_000]),
    # Ids
    "08_scientific_ids": reviews(
        content=table(row=lambda u, i, t, _: f"4.32111E+18,{i},{t}"),
        error=r"interactions\.csv, line 2: user_id '4\.32111E\+18' was rounded by a spreadsheet, as 12 of 12"),
    "09_float_ids": reviews(
        content=table(row=lambda u, i, t, _: f"{FLOATS[u]},10{i[1]}.0,{t}"), items=NUMBERS,
        notes=("item_id such as '101.0' are read without",), other=ids_are("1", "2", "3")),
    "11_null_tokens": reviews(
        content=table("user_id,item_id,timestamp,rating\n",
                      lambda u, i, t, n: f"{u},{i},{t},{('4', chr(92) + 'N', 'None', 'N/A')[n % 4]}")
        + "NULL,p1,1704103200,4\nnan,p2,1704103200,4\n",
        items="item_id,title,image\np1,NULL,NULL\np2,\\N,NaN\np3,NaN,None\np4,None,\n",
        reasons={14: "user_id is empty", 15: "user_id is empty"},
        other=lambda raw: len(raw.reviews) == 12 and raw.items["title"].isna().all() and raw.items["image"].isna().all()),
    "39_ids_case_space": reviews(
        content=table(), items="item_id,title\nP1,A\n p2,B\np3\u200b,C\n p4\u00a0,D\n", notes=(r"item_id such as 'p3\\u200b'",),
        other=lambda raw: raw.items["item_id"].tolist() == ["P1", "p2", "p3", "p4"]),
    # Columns
    "12_trailing_commas": reviews(content=table("user_id,item_id,timestamp,,\n", lambda u, i, t, _: f"{u},{i},{t},,")),
    "12b_duplicate_unused": reviews(
        content=table("user_id,item_id,timestamp,source,source\n", lambda u, i, t, _: f"{u},{i},{t},x,y")),
    "12c_case_spaces": reviews(content=table("User ID, Item_Id ,TimeStamp\n"), notes=("'User ID' is read as user_id",)),
    "12d_rows_trailing_comma": reviews(content=table(row=lambda u, i, t, _: f"{u},{i},{t},")),
    "12e_case_optional": reviews(content=table("user_id,item_id,Timestamp\n"), notes=("'Timestamp' is read as timestamp",)),
    "44_index_column": reviews(content=table(",user_id,item_id,timestamp\n", lambda u, i, t, n: f"{n},{u},{i},{t}")),
    "44b_row_names_of_r": reviews(content=table(row=lambda u, i, t, n: f'"{n + 1}",{u},{i},{t}')),
    # Lines and signs
    "13_header_again": reviews(
        content=table("user_id,item_id\n", lambda u, i, t, n: ("\ufeffuser_id,item_id\n" if n == 6 else "") + f"{u},{i}"),
        reasons={8: "repeats the header"},
        other=lambda raw: raw.reviews["user_id"].tolist() == USERS and raw.loaded.bad_share == 0),
    "14_cr_only": reviews(content=table().replace("\n", "\r"), notes=("CR alone",)),
    "15_utf16_bom": reviews(content=table().encode("utf-16"), notes=("UTF-16",)),
    "15b_utf16_no_bom": reviews(content=table().encode("utf-16-le"), notes=("UTF-16",)),
    "15c_nul_bytes": reviews(content=table().replace("bo,p2", "bo\0,p2").replace("cy,p1", "\0cy,p1"), notes=("2 bytes NUL",)),
    "16_cp1252": reviews(
        content=table(), items="item_id,title\np1,Café crème\np2,Smörgås “deluxe”\np3,Plain cup\np4,Tasse à thé\n".encode("cp1252"),
        notes=("read as cp1252",), other=titles_are("Café crème", "Smörgås “deluxe”", "Plain cup", "Tasse à thé")),
    "17_backslash_quotes": reviews(
        content=table(), items='item_id,title\np1,"Screen 24\\" wide"\np2,"Plain"\np3,5" pipe\np4,"A ""right"" one"\n',
        notes=("quotes behind backslashes",), other=titles_are('Screen 24" wide', "Plain", '5" pipe', 'A "right" one')),
    "37_quoted_newlines": reviews(
        content=table(), items='item_id,title\r\np1,"Two\r\nlines"\r\n\r\np2,"B, b"\r\n p3 ,C\r\np4,D\r\n',
        other=titles_are("Two\nlines", "B, b", "C", "D")),
    "41_wide_and_blank": reviews(content="\n\n" + table().replace("\n", "\n\n") + ",,\n,,\n"),
    "43_comment_lines": reviews(content="# exported 2024-02-01\n" + table(), notes=("begins with a comment",)),
    "36_empty_file": reviews(content="", error=r"interactions\.csv: is empty"),
    # Containers
    "18_parquet_gzip": Case({"df.parquet.gzip": parquet(CLEAN, compression="gzip"), "items.csv": ITEMS},
                            {"interactions": "df.parquet.gzip"}),
    "18b_parquet_named_csv": reviews(content=parquet(CLEAN)),
    "18d_csv_named_parquet": Case({"interactions.parquet": table(), "items.csv": ITEMS},
                                  {"interactions": "interactions.parquet"}, notes=("is called Parquet, but is text",)),
    "18e_gz_named_csv": reviews(content=gzip.compress(table().encode())),
    "18f_bz2": Case({"i.csv.bz2": bz2.compress(table().encode()), "items.csv": ITEMS}, {"interactions": "i.csv.bz2"}),
    "19_spark_folder": Case(spark(), {"interactions": "i.parquet"}, notes=("user_id taken from the names of folders",)),
    "19b_spark_glob": Case(spark(), {"interactions": "i.parquet/*/*.parquet"}),
    # Types of Parquet
    "20a_string_view": of_parquet(pa.table(CLEAN).cast(pa.schema(
        {"user_id": pa.string_view(), "item_id": pa.string_view(), "timestamp": pa.int64()}))),
    "20b_categorical_large": of_parquet({
        "user_id": pa.array(USERS).dictionary_encode(), "item_id": pa.array(IDS, pa.large_string()),
        "timestamp": pa.array(TIMES, pa.timestamp("s", "UTC")).cast(pa.timestamp("ns", "America/New_York"))}),
    "20c_uint64_decimal": of_parquet(
        {"user_id": pa.array([2**63 + 5 + USERS.index(u) // 4 for u in USERS], pa.uint64()),
         "item_id": pa.array([Decimal(f"10{i[1]}.00") for i in IDS]), "timestamp": TIMES}, items=NUMBERS,
        other=ids_are(*(str(2**63 + 5 + place) for place in range(3)))),
    "20d_date32": of_parquet(
        {"user_id": USERS, "item_id": IDS, "timestamp": [dt.date(2024, 1, n + 1) for n in range(12)]},
        other=lambda raw: milliseconds(raw) == [(t - 36_000) * 1000 for t in TIMES]),
    "20e_epoch_decimal": of_parquet({**CLEAN, "timestamp": [Decimal(t) for t in TIMES], "rating": [Decimal("4.50")] * 12}),
    "20f_float_ids_nan": of_parquet(
        {"user_id": [None, *(float(FLOATS[u]) for u in USERS[1:])], "item_id": IDS, "timestamp": TIMES},
        reasons={1: "user_id is empty"}, other=ids_are("1", "2", "3")),
    "20g_bytes": of_parquet({"user_id": [u.encode() for u in USERS], "item_id": [i.encode() for i in IDS], "timestamp": TIMES}),
    "20h_epochint_ns": of_parquet({**CLEAN, "timestamp": [t * 10**9 for t in TIMES]}),
    "20i_int96": Case({"i.parquet": parquet({**CLEAN, "timestamp": pd.to_datetime(TIMES, unit="s")},
                                            use_deprecated_int96_timestamps=True), "items.csv": ITEMS},
                      {"interactions": "i.parquet"}),
    "20j_mixed_files": Case(
        {"part_0.parquet": parquet({name: column[:6] for name, column in CLEAN.items()}), "items.csv": ITEMS,
         "part_1.parquet": parquet({"userId": USERS[6:], "item_id": IDS[6:], "timestamp": TIMES[6:]})},
        {"interactions": "part_*.parquet"}, notes=("'userId' is read as user_id",)),
    "20k_list_items": of_parquet(
        {"user_id": ["ana", "bo", "cy"], "item_id": [IDS[:4]] * 3, "timestamp": [TIMES[at : at + 4] for at in (0, 4, 8)]},
        notes=("each entry is read as a row",)),
    # Amazon
    "23_amazon23_times": amazon(
        lines(*changed(changed(REVIEWS23, 3, timestamp=-62135596800000), 5, timestamp=f"{TIMES[5]}000")), lines(*META23),
        reasons={4: "does not lie between 1970 and 2200"}, other=lambda raw: len(raw.reviews) == 11),
    "24_hf_raw_names": Case({"raw_review_Shop.jsonl": lines(*REVIEWS23), "raw_meta_Shop.jsonl": lines(*META23)},
                            format="amazon-2023"),
    "24b_hf_csv": Case({"raw_review_Shop.csv": pd.DataFrame(REVIEWS23).to_csv(index=False),
                        "raw_meta_Shop.csv": pd.DataFrame(META23).to_csv(index=False)}, format="amazon-2023"),
    "24c_hf_csv_named": Case({"raw_review_Shop.csv": pd.DataFrame(REVIEWS23).to_csv(index=False),
                              "raw_meta_Shop.csv": pd.DataFrame(META23).to_csv(index=False)},
                             {"reviews": "raw_review_*.csv", "meta": "raw_meta_*.csv"}, format="amazon-2023"),
    "24d_hf_parquet": Case({"raw_review_Shop.parquet": parquet(pa.Table.from_pylist(REVIEWS23)),
                            "raw_meta_Shop.parquet": parquet(pa.Table.from_pylist(META23))}, format="amazon-2023"),
    "24e_hf_tree": Case({"raw/review_categories/Shop.jsonl": lines(*REVIEWS23),
                         "raw/meta_categories/meta_Shop.jsonl": lines(*META23)}, format="amazon-2023"),
    "24f_meta_keyed_by_asin": amazon(
        lines(*REVIEWS23), lines(*({"asin": one["parent_asin"], "title": one["title"]} for one in META23)),
        notes=("asin is read in its place",)),
    "25_json_nan": amazon(
        lines(*changed(changed(REVIEWS23, 0, helpful_vote=float("nan")), 1, rating=float("nan"))),
        lines(*changed(changed(META23, 1, price=float("nan")), 2, average_rating=float("inf")))),
    "26_surrogates": amazon(
        lines(*changed(REVIEWS23, 0, text="cut here \ud83d")), lines(*changed(META23, 1, title="Lamp \ud83d")),
        other=lambda raw: "\ufffd" in raw.reviews["review"][0] and raw.items["title"][1] == "Lamp \ufffd"),
    "27_json_array": amazon(json.dumps(REVIEWS23), lines(*META23), notes=("not one a line",)),
    "27b_json_pretty": amazon("\n".join(json.dumps(row, indent=2) for row in REVIEWS23), lines(*META23)),
    "27c_json_pretty_array": amazon(json.dumps(REVIEWS23, indent=2), lines(*META23)),
    "27d_json_array_lines": amazon("[\n" + ",\n".join(map(json.dumps, REVIEWS23)) + "\n]\n", lines(*META23),
                                   notes=("one JSON array with an object a line",)),
    "27e_truncated_last_line": amazon(lines(*REVIEWS23)[:-40], lines(*META23), reasons={12: "is no JSON object"},
                                      other=lambda raw: len(raw.reviews) == 11),
    "27f_json_one_behind_the_other": amazon("".join(map(json.dumps, REVIEWS23)), lines(*META23)),
    "28_types_swapped": Case(
        {"Shop_5.json": lines(*changed(changed(changed(OLD, 0, unixReviewTime=f"{TIMES[0]}"), 1, overall="5.0"), 2, asin=1713353))},
        format="amazon-2018", reasons={3: "asin is the number 1713353, whose leading zeros"},
        other=lambda raw: len(raw.reviews) == 11 and raw.reviews["rating"].eq(5).all()),
    "29_python_literal_2018": Case(
        {"Shop_5.json": lines(*OLD), "meta_Shop.json": "".join(f"{ {'asin': i, 'title': t} }\n" for i, t in TITLES.items())},
        format="amazon-2018", notes=("Python literals",)),
    "45_meta_null_dims": amazon(
        lines(*REVIEWS23),
        lines({"parent_asin": "p1", "title": None, "images": None}, {"parent_asin": "p2", "categories": [["A", "B"], "C"]},
              {"parent_asin": "p3", "features": {"a": "b"}}, {"parent_asin": 4}, {"parent_asin": "p4", "title": ["listed"]}),
        reasons={4: "parent_asin is the number 4"}, other=titles_are("", "", "", "listed")),
    # MicroLens
    "30_microlens_covers": Case(
        {"M_pairs.csv": table("user,item,timestamp\n"), "M_titles.csv": ITEMS.removeprefix("item_id,title\n"),
         "MicroLens-50k_covers/p1.jpg": b"x"}, format="microlens",
        other=lambda raw: raw.items["image"][0] == "p1.jpg" and len(raw.reviews) == 12),
    "30c_microlens_sizes": Case(
        {"A_pairs.csv": table("user,item,timestamp\n"), "B_pairs.csv": table("user,item,timestamp\n"), "A_titles.csv": "p1,x\n"},
        format="microlens", error=r"several files could be the pairs: .*`pairs: A_pairs\.csv`"),
    # Items
    "33_duplicate_item_rows": reviews(
        content=table(), items="item_id,title,description\np1,,\np1,The real title,Long\np2,B,b\np2,B,b\np3,C,\np4,D,\n",
        other=titles_are("The real title", "B", "C", "D")),
    "34_json_titles": reviews(
        content=table(), items='item_id,title,category\np1,A,"[""Home"", ""Lamps""]"\np2,B,"[\'Home\', \'Lamps\']"\np3,C,Home|Lamps\n'
        "p4,D,Home > Lamps\n",
        other=lambda raw: raw.items["category"].tolist() == [*["Home, Lamps"] * 3, "Home > Lamps"]),
    # Pictures
    "10_hm_like": Case(
        {"t.csv": table("customer_id,article_id,t_dat\n", lambda u, i, t, _: f"{u},10877501{i[1]},{t}"),
         "a.csv": "article_id,prod_name\n010877501" + "1,Top\n", "images/010/0108775011.jpg": b"x"},
        {"interactions": "t.csv", "items": "a.csv"},
        # The ids stay as they are: only who exported them knows the zeros. The check known_items shows both.
        other=lambda raw: raw.items["image"].tolist() == ["010/0108775011.jpg"] and raw.reviews["item_id"][0] == "108775011"),
    "21_hf_image_struct": Case(
        {"interactions.csv": table(), "items.parquet": parquet(
            {"item_id": ["p1", "p2"], "image": [{"bytes": b"\x89PNG", "path": "p1.png"}, {"bytes": b"", "path": None}]}),
         "images/p1.png": b"x"},
        {"items": "items.parquet"}, notes=("holds pictures themselves; they are checked",),
        other=lambda raw: raw.items["image"].str.fullmatch("parquet:[0-9a-f]{64}:1:items.parquet:image").tolist() == [True, None]
        or raw.items["image"].isna().tolist() == [False, True]),
    "21b_url_list": Case(
        {"interactions.csv": table(), "items.parquet": parquet(
            {"item_id": ["p1"], "title": ["A"], "image": [["https://a.test/1.jpg", "https://a.test/2.jpg"]]})},
        {"items": "items.parquet"}, other=lambda raw: raw.items["image"].tolist() == ["https://a.test/1.jpg https://a.test/2.jpg"]),
    "21d_images_misspelt": Case(
        {"interactions.csv": table(), "items.csv": ITEMS, "pictures/p1.jpg": b"x"}, {"images": "picture"},
        error="there is no folder 'picture'.* Did you mean 'pictures'"),
    "40_image_names": Case(
        {"interactions.csv": table(), "items.csv": "item_id,title,image\np1,A,C:\\shop\\images\\p1.jpg\np2,B,p2.jpg\n"
         "p3,C,/data/shop/images/p3.jpg\np4,D,images/p4_0.JPG\n", "images/p1.jpg": b"1", "images/P2.JPG": b"2",
         "images/p3 .jpg": b"3", "images/p4_0.jpg": b"4"},
        other=lambda raw: raw.items["image_sha256"].nunique() == 4),
}  # fmt: skip
