# ruff: noqa: E501, RUF001  # a case is read at one look; letters of many languages
"""More files as people have them, kind by kind; none of them is in a report that we know."""

import base64
import gzip
import io
import json
import pickle
import zipfile
import zlib

import numpy as np
import pyarrow as pa
from ingest.as_people_have_them import (
    IDS,
    ITEMS,
    NUMBERS,
    OLD,
    REVIEWS23,
    ROWS,
    TIMES,
    TITLES,
    USERS,
    Case,
    amazon,
    day,
    lines,
    milliseconds,
    of_parquet,
    parquet,
    picture,
    reviews,
    table,
    titles_are,
)  # fmt: skip

MIDNIGHT = [(time - 36_000) * 1000 for time in TIMES]


def zstd(content: str) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content.encode())
    return sink.getvalue().to_pybytes()


def zipped(**files: str | bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return sink.getvalue()


def times(written, **changes) -> Case:
    """The table with another form of times, in quotes where a comma is in it."""

    def row(user, item, time, place):
        cell = written(time, place) if written.__code__.co_argcount == 2 else written(time)
        return f'{user},{item},"{cell.replace(chr(34), chr(34) * 2)}"'

    return reviews(content=table(row=row), **changes)


def rated(written: str, rating: float) -> Case:
    return reviews(
        content=table("user_id,item_id,timestamp,rating\n", lambda u, i, t, _: f'{u},{i},{t},"{written}"'),
        other=lambda raw: raw.reviews["rating"].eq(rating).all() and len(raw.reviews) == 12,
    )


def headed(header: str, row, **changes) -> Case:
    return reviews(content=table(f"{header}\n", row), **changes)


def pictures(files: dict[str, bytes], expected: list[str | None], items: str = ITEMS, **options) -> Case:
    return Case(
        {"interactions.csv": table(), "items.csv": items, **files},
        options,
        other=lambda raw: [name if isinstance(name, str) else None for name in raw.items["image"]] == expected,
    )


def ids(users=None, items=None, rows: str = ITEMS, said: str = "", **changes) -> Case:
    content = table(
        row=lambda u, i, t, n: f"{(users or (lambda one, _: one))(u, n)},{(items or (lambda one, _: one))(i, n)},{t}"
    )
    return reviews(content=content, items=rows, notes=(said,) if said else (), **changes)


def both_known(raw) -> bool:
    return len(raw.reviews) == 12 and set(raw.reviews["item_id"]) == set(raw.items["item_id"])


JPEG = picture()
ONE = json.dumps({"user_id": USERS, "item_id": IDS, "timestamp": TIMES})
AS_JSON = [{"user_id": user, "item_id": item, "timestamp": time} for user, item, time in ROWS]
U = lambda u, i, t, n: f"{u},{i},{t}"  # noqa: E731

MORE: dict[str, Case] = {
    # 1 Columns
    "1 German": headed("Kundennummer;Artikelnummer;Datum;Bewertung", lambda u, i, t, _: f"{u};{i};{day(t, '%d.%m.%Y %H:%M')};4,5",
                       notes=("'Kundennummer' is read as user_id",)),
    "1 French": headed("id_client;id_produit;date_achat", lambda u, i, t, _: f"{u};{i};{day(t)}"),
    "1 Spanish": headed("usuario,producto,fecha,calificación", lambda u, i, t, _: f"{u},{i},{day(t)},4"),
    "1 Japanese": headed("ユーザーID,商品ID,日時,評価", lambda u, i, t, _: f"{u},{i},{day(t)},4"),
    "1 Chinese": headed("用户id,商品id,时间,评分", lambda u, i, t, _: f"{u},{i},{t},4"),
    "1 Korean": headed("사용자ID,상품ID,일시,평점", lambda u, i, t, _: f"{u},{i},{day(t)},4"),
    "1 Russian": headed("пользователь;товар;дата", lambda u, i, t, _: f"{u};{i};{day(t)}"),
    "1 tables before names": headed("r.user_id,reviews.item_id,reviews.timestamp", U),
    "1 units behind names": headed("User ID (text),Item ID [sku],Timestamp (s),Rating (1-5)", lambda u, i, t, _: f"{u},{i},{t},4"),
    "1 wide letters": headed("ｕｓｅｒ＿ｉｄ,ｉｔｅｍ＿ｉｄ,ｔｉｍｅｓｔａｍｐ", U),
    "1 misspelt": headed("user_id,item_id,timstamp,ratng", lambda u, i, t, _: f"{u},{i},{t},4",
                         notes=(r"'timstamp' is not read; if it holds timestamp, state `columns: \{timestamp: timstamp\}`",
                                "'ratng' is not read", "no column is read as timestamp; not read are: timstamp, ratng"),
                         other=lambda raw: raw.reviews["timestamp"].isna().all()),
    "1 no name that we know": reviews(content=table(), items="item_id,ad_soyad\n" + "".join(f"{i},{t}\n" for i, t in TITLES.items()),
                                      notes=("no column is read as description or title; not read are: ad_soyad",)),
    "1 German items": reviews(content=table(), items="Artikelnummer;Bezeichnung\n" + "".join(f"{i};{t}\n" for i, t in TITLES.items()),
                              other=titles_are(*TITLES.values())),
    "1 a word before": headed("user_id,item_id,timestamp,Book-Rating,review_id", lambda u, i, t, _: f"{u},{i},{t},4,r",
                              notes=("'Book-Rating' is not read; if it holds rating",)),
    "1 an id that we do not know": headed("user_id,anime_id,timestamp", U, error=r"column 'item_id' is missing\..*`columns: \{item_id: anime_id\}`"),
    # 3 Dialects
    "3 no header, one cell like a name": Case(
        {"i.tsv": table("", lambda u, i, t, _: f"{u}\t{day(t, '%Y-%m-%dT%H:%M:%SZ')}\t{i}\tArtist\tTrack"), "items.csv": ITEMS},
        {"interactions": "i.tsv"}, error="i.tsv: has no header, its first row is data: ana, 2024"),
    "3 only a header": reviews(content=table().split("\n", maxsplit=1)[0], error="no usable review. The files hold no row beside the header"),
    "3 sep behind a mark": reviews(content=("\ufeffsep=;\n" + table("user_id;item_id;timestamp\n", lambda u, i, t, _: f"{u};{i};{t}")).replace("\n", "\r\n")),
    "3 sep in UTF-16": reviews(content=("sep=\t\n" + table("user_id\titem_id\ttimestamp\n", lambda u, i, t, _: f"{u}\t{i}\t{t}")).encode("utf-16")),
    "3 of Hive": headed("user_id\x01item_id\x01timestamp", lambda u, i, t, _: f"{u}\x01{i}\x01{t}", notes=(r"separated by '\\x01'",)),
    "3 circumflex": headed("user_id^item_id^timestamp", lambda u, i, t, _: f"{u}^{i}^{t}"),
    "3 blanks": headed("user_id item_id timestamp", lambda u, i, t, _: f"{u} {i} {t}", notes=("separated by blanks",)),
    "3 single quotes": headed("'user_id';'item_id';'timestamp';'rating'", lambda u, i, t, _: f"'{u}';'{i}';'{t}';'4'", notes=("single quotes",)),
    "3 blanks before quotes": headed("user_id, item_id, timestamp, rating", lambda u, i, t, _: f'{u}, {i}, {t}, "4,5"',
                                     other=lambda raw: raw.reviews["rating"].eq(4.5).all()),
    "3 titles before the header": reviews(content="Export of shop X\nCreated: 2024-02-01\n\n" + table(), notes=("its header is in line 4",)),
    "3 a box of MySQL": reviews(content="+---+\n| user_id | item_id | timestamp |\n" + "".join(f"| {u} | {i} | {t} |\n" for u, i, t in ROWS)),
    "3 a comma in each title is no row name": reviews(
        content=table(), items="item_id,title\np1,Lamp, red\np2,Lamp, blue\np3,Lamp, big\n",
        other=lambda raw: raw.items.empty and raw.rejects["reason"].str.contains("has 3 fields, the header has 2").all()),
    "3 a total below": reviews(content=table() + "\nTotal: 12 rows\n", reasons={15: "has 1 fields"}),
    "3 twice encoded": reviews(content=table(), items="item_id,title\n" + "".join(f"{i},CafÃ© crÃ¨me\n" for i in TITLES),
                               notes=(r"line 2, 'item_id,title|line 2, .*CafÃ©.*was UTF-8 and was taken for a Western",),
                               other=lambda raw: len(raw.reviews) == 12),
    # 4 Containers
    "4 zstd JSON lines called CSV": reviews(content=zstd(lines(*AS_JSON)), notes=("is JSON; the keys of its objects are the columns",)),
    "4 a JSON array": Case({"i.json": json.dumps(AS_JSON, indent=1), "items.csv": ITEMS}, {"interactions": "i.json"}),
    "4 of MongoDB": reviews(content=lines(*({"_id": {"$oid": f"{n}"}, "user": {"id": u}, "item_id": i, "timestamp": {"$date": {"$numberLong": f"{t}000"}}}
                                            for n, (u, i, t) in enumerate(ROWS))), options={"columns": {"user_id": "user.id"}}),
    "4 JSON in UTF-16": reviews(content=lines(*AS_JSON).encode("utf-16")),
    "4 JSON with commas behind": reviews(content="".join(f"{json.dumps(one)},\n" for one in AS_JSON)),
    "4 names in brackets": headed("[user_id],[item_id],[timestamp]", U),
    "4 lists in a list": reviews(content=json.dumps([list(row) for row in ROWS]), error="holds no JSON object; write one object a row"),
    "4 ids of bytes": of_parquet({"user_id": pa.array([b"\xff\x01" + user.encode() for user in USERS]), "item_id": pa.array([i.encode() for i in IDS], pa.binary(2)), "timestamp": TIMES},
                                 other=lambda raw: raw.reviews["user_id"][0] == (b"\xff\x01ana").hex() and raw.reviews["item_id"].tolist() == IDS),
    "4 a damaged object": reviews(content=lines(*AS_JSON) + '{"user_id": "ana", \n', reasons={13: "is no JSON object"}, other=lambda raw: len(raw.reviews) == 12),
    "4 JSON of columns": reviews(content=ONE, error="is one JSON object, with user_id, item_id, timestamp, and no rows; write one object a row"),
    "4 gzip within zip": reviews(content=zipped(**{"i.csv.gz": gzip.compress(table().encode())}), error="is packed twice .gzip within another"),
    "4 packed Parquet": reviews(content=gzip.compress(parquet({"user_id": USERS})), error="is a Parquet file packed by gzip"),
    "4 zlib alone": reviews(content=zlib.compress(table().encode()), error="is packed by zlib alone"),
    "4 LZ4": reviews(content=b"\x04\x22\x4d\x18" + b"x" * 50, error="is packed by LZ4"),
    "4 a pickle": reviews(content=pickle.dumps(ROWS, 5), error="is a Python pickle, which is not opened"),
    "4 SQL": reviews(content="-- MySQL dump 10.13\nCREATE TABLE `x` (`user_id` int);\nINSERT INTO `x` VALUES (1,2,3);\n", error="is a dump of a database"),
    "4 a text document": reviews(content=b"{\\rtf1\\ansi user_id,item_id}", error="word processor"),
    "4 LibreOffice": reviews(content=zipped(**{"mimetype": "x", "content.xml": "<x/>"}), error="is a LibreOffice document"),
    "4 bytes of no kind": reviews(content=bytes(range(1, 30)) * 20, error="is no text .it begins with the bytes 01 02"),
    "4 pictures in place of a table": reviews(content=JPEG, error="is a picture; name the folder"),
    "4 another year": Case({"Shop.jsonl": lines(*OLD)}, format="amazon-2023", error="Shop.jsonl, line 1: has reviewerID and asin.*`format: amazon-2018`"),
    "4 another year back": Case({"Shop_5.json": lines(*REVIEWS23)}, format="amazon-2018", error="`format: amazon-2023`"),
    # 5 Times
    "5 German": times(lambda t: day(t, "%d. Januar %Y %H:%M")),
    "5 French": times(lambda t: day(t, "lundi 1er janvier %Y 10:00") if t == TIMES[0] else day(t, "%d janv. %Y %H:%M")),
    "5 Spanish": times(lambda t: day(t, "%d de enero de %Y %H:%M")),
    "5 Russian": times(lambda t: day(t, "%d января %Y %H:%M")),
    "5 Chinese": times(lambda t: day(t, "%Y年%m月%d日 %H:%M:%S")),
    "5 Japanese clock": times(lambda t: day(t, "%Y年%m月%d日 %H時%M分")),
    "5 Arabic digits": times(lambda t: str(t).translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩"))),
    "5 CET": times(lambda t: day(t + 3600, "%Y-%m-%d %H:%M:%S CET")),
    "5 PDT": times(lambda t: day(t - 7 * 3600, "%Y-%m-%d %H:%M:%S PDT")),
    "5 a zone of several meanings": times(lambda t, n: day(t) + (" IST" if n == 3 else ""), reasons={5: "neither ISO 8601"}, other=lambda raw: len(raw.reviews) == 11),
    "5 of a place": times(lambda t: day(t + 3600, "%Y-%m-%dT%H:%M:%S+01:00[Europe/Paris]")),
    "5 Java": times(lambda t: day(t, "%a %b %d %H:%M:%S UTC %Y")),
    "5 Twitter": times(lambda t: day(t, "%a %b %d %H:%M:%S +0000 %Y")),
    "5 ctime": times(lambda t: day(t, "%a %b %d %H:%M:%S %Y")),
    "5 JavaScript": times(lambda t: day(t, "%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)")),
    "5 mail": times(lambda t: day(t, "%a, %d %b %Y %H:%M:%S +0000")),
    "5 Apache": times(lambda t: day(t, "%d/%b/%Y:%H:%M:%S +0000")),
    "5 SAS": times(lambda t: day(t, "%d%b%Y:%H:%M:%S").upper()),
    "5 Oracle": times(lambda t: day(t, "%d-%b-%y %I.%M.%S.000000 %p").upper()),
    "5 .NET": times(lambda t: f"/Date({t}000)/"),
    "5 MongoDB": times(lambda t: f'{{"$date": {t}000}}'),
    "5 ticks": times(lambda t: str(t * 10**7 + 621_355_968_000_000_000), notes=("ticks of .NET",)),
    "5 Windows": times(lambda t: str((t + 11_644_473_600) * 10**7), notes=("Windows file times",)),
    "5 compact": times(lambda t: day(t, "%Y%m%d%H%M%S")),
    "5 compact minutes": times(lambda t: day(t, "%Y%m%d%H%M")),
    "5 Excel with a comma": headed("user_id;item_id;timestamp", lambda u, i, t, _: f"{u};{i};{t / 86_400 + 25_569:.6f}".replace(".", ",")),
    "5 Excel days": times(lambda t: str(t // 86_400 + 25_569), notes=("days of a spreadsheet",), other=lambda raw: milliseconds(raw) == MIDNIGHT),
    "5 Amazon's reviewTime": times(lambda t: day(t, "%m %d, %Y"), other=lambda raw: milliseconds(raw) == MIDNIGHT),
    "5 years": times(lambda t: day(t, "%Y"), notes=("are years or months",), other=lambda raw: set(milliseconds(raw)) == {1_704_067_200_000}),
    "5 months": times(lambda t: day(t, "%Y%m"), notes=("are years or months",), other=lambda raw: set(milliseconds(raw)) == {1_704_067_200_000}),
    "5 float32": times(lambda t: str(int(np.float32(t))), notes=("are all multiples of 64 seconds, as float32 rounds them: 0 of 12",), other=lambda raw: len(raw.reviews) == 12),
    "5 a quote before": times(lambda t: f"'{t}"),
    "5 no day of the calendar": times(lambda t, n: "2024-02-30 10:00" if n == 3 else day(t), reasons={5: "neither ISO 8601"}, other=lambda raw: len(raw.reviews) == 11),
    "5 groups and a fraction": times(lambda t: f"{t:,}.00"),
    "5 an underscore": times(lambda t: day(t, "%Y-%m-%d_%H:%M:%S")),
    "5 small letters": times(lambda t: day(t, "%Y-%m-%dt%H:%M:%Sz")),
    "5 of names of files": times(lambda t: day(t, "%Y-%m-%d-%H-%M-%S")),
    "5 at": times(lambda t: day(t, "%b %d, %Y at %I:%M %p")),
    "5 a form that is none": times(lambda t: day(t), options={"time_format": "dayfirst"}, error="time_format: 'dayfirst' is not known. Did you mean 'day-first'"),
    # 6 Ids
    "6 thousands in one file": ids(items=lambda i, _: f"100{i[1]}", rows="item_id,title\n" + "".join(f'"1,00{i[1]}",{t}\n' for i, t in TITLES.items()),
                                   said="'1,001' are read without separators of thousands", other=both_known),
    "6 quotes of a spreadsheet": ids(items=lambda i, _: f"'00{i[1]}", rows="item_id,title\n" + "".join(f"00{i[1]},{t}\n" for i, t in TITLES.items()),
                                     said="signs that keep zeros", other=both_known),
    "6 formulas of a spreadsheet": ids(items=lambda i, _: f'"=""00{i[1]}"""', rows="item_id,title\n" + "".join(f"00{i[1]},{t}\n" for i, t in TITLES.items()), other=both_known),
    "6 floats in some rows": ids(items=lambda i, n: f"10{i[1]}{'.0' if n % 2 else ''}", rows=NUMBERS, said="'102.0' are read without '.0'", other=both_known),
    "6 versions are no floats": ids(items=lambda i, _: f"1.{i[1]}", rows="item_id,title\n" + "".join(f"1.{i[1]},{t}\n" for i, t in TITLES.items()), other=both_known),
    "6 rounded, small letters": ids(users=lambda u, _: "4.32111e18", error="user_id '4.32111e18' was rounded"),
    "6 hashes are no numbers": ids(items=lambda i, _: f"{i[1]}e5", rows="item_id,title\n" + "".join(f"{i[1]}e5,{t}\n" for i, t in TITLES.items()), other=both_known),
    "6 cut by a spreadsheet": ids(users=lambda u, n: f"{432111234567890 + n}000", said="all end in zeros behind the 15th digit", other=lambda raw: len(raw.reviews) == 12),
    "6 floats too large in Parquet": of_parquet({"user_id": [float(2**60 + n) for n in range(12)], "item_id": IDS, "timestamp": TIMES}, error="was rounded"),
    "6 times as floats in Parquet": of_parquet({"user_id": USERS, "item_id": IDS, "timestamp": [t * 1e9 for t in TIMES]}),
    "6 letters and accents apart": ids(items=lambda i, _: f"café{i}", rows="item_id,title\n" + "".join(f"cafe\u0301{i},{t}\n" for i, t in TITLES.items()), said="(NFC)", other=both_known),
    "6 words for nothing in any case": reviews(
        content=table() + "".join(f"{word},p1,1704103200\n" for word in ("NuLL", "NONE", "Nil", "-", "?", "n.a.", "#REF!", "[NULL]", "(None)", "undefined")),
        reasons=dict.fromkeys(range(14, 24), "user_id is empty"), other=lambda raw: len(raw.reviews) == 12),
    "6 one for many": reviews(content=table() + "Anonymous,p1,1704103200\n", notes=("'Anonymous' is read as one user; if it stands for nobody",),
                              other=lambda raw: len(raw.reviews) == 13),
    # 7 Fields
    "7 stars": rated("★★★★☆", 4), "7 of five": rated("4.5 out of 5 stars", 4.5), "7 a fraction": rated("3/5", 3),
    "7 of five in German": rated("4,0 von 5 Sternen", 4), "7 other digits": rated("٤", 4), "7 a word": rated("4 stars", 4),
    "7 no rating": reviews(content=table("user_id,item_id,timestamp,rating\n", lambda u, i, t, _: f"{u},{i},{t},like"),
                           error="line 2: rating is not a number; .*words for no rating go under `null_words:`"),
    "7 no rating, stated": reviews(content=table("user_id,item_id,timestamp,rating\n", lambda u, i, t, _: f"{u},{i},{t},like"), options={"null_words": ["like"]}),
    "7 genres as objects": reviews(content=table(), items='item_id,title,category,tags\np1,A,"[{\'id\': 16, \'name\': \'Animation\'}, {\'id\': 1, \'name\': \'Family\'}]","{red,""dark blue""}"\n',
                                   other=lambda raw: raw.items.loc[0, ["category", "tags"]].tolist() == ["Animation, Family", "red, dark blue"]),
    "7 structs in Parquet": Case({"interactions.csv": table(), "items.parquet": parquet({"item_id": ["p1"], "title": [{"en": "A"}], "tags": [[{"name": "x"}, {"name": "y"}]]})},
                                 {"items": "items.parquet"}, notes=("column 'title' holds structs and is not read",), other=lambda raw: raw.items["tags"][0] == "x, y"),
    "7 later rows fill gaps": reviews(content=table(), items="item_id,title,description\np1,,first\np1,Real,second\np2,NULL,x\np2,B,\n",
                                      other=lambda raw: raw.items[["title", "description"]].to_numpy().tolist() == [["Real", "first"], ["B", "x"]]),
    "7 pictures as texts in Amazon's": amazon(lines(*REVIEWS23), lines({"parent_asin": "p1", "images": "https://a.test/x.jpg"}, {"parent_asin": "p2", "images": ["https://a.test/y.jpg"]}),
                                              other=lambda raw: raw.items["image"].tolist() == ["https://a.test/x.jpg", "https://a.test/y.jpg"]),
    # 8 Pictures
    "8 capitals below": pictures({"images/sub/P1.JPG": JPEG, "images/sub/p2.JPEG": JPEG, "images/p3.Jpg": JPEG, "images/P4.PNG": JPEG},
                                 ["sub/P1.JPG", "sub/p2.JPEG", "p3.Jpg", "P4.PNG"]),
    "8 a folder an item": pictures({"images/p1/0.jpg": JPEG, "images/p1/1.jpg": JPEG, "images/p2/main.jpg": JPEG, "images/p3/other.jpg": JPEG}, ["p1/0.jpg", "p2/main.jpg", None, None]),
    "8 numbered": pictures({"images/p1_2.jpg": JPEG, "images/p1_10.jpg": JPEG, "images/p2-0.jpg": JPEG, "images/p3 (1).jpg": JPEG}, ["p1_2.jpg", "p2-0.jpg", "p3 (1).jpg", None]),
    "8 a number that is an item's": Case(
        {"interactions.csv": table(row=lambda u, i, t, n: f"{u},{'p1_1' if i == 'p2' else i},{t}"), "items.csv": "item_id,title\np1,A\np1_1,B\n", "images/p1_1.jpg": JPEG},
        other=lambda raw: raw.items["image"].fillna("").tolist() == ["", "p1_1.jpg"]),
    "8 names of the web": pictures({"images/my lamp.jpg": JPEG, "images/p2.jpg": JPEG, "images/abc.png": JPEG}, ["my lamp.jpg", "https://cdn.test/x.jpg", "p2.jpg", "abc.png"],
                                   "item_id,title,image\np1,A,my%20lamp.jpg\np4,B,//cdn.test/x.jpg\np2,C,p2.jpg?v=3\np3,D,abc\n"),
    "8 several files in a cell": pictures({"images/a.jpg": JPEG, "images/b.jpg": JPEG}, ["a.jpg", "b.jpg", "a.jpg"],
                                          'item_id,title,image\np1,A,"a.jpg, b.jpg"\np2,B,gone.jpg;b.jpg\np3,C,a.jpg|b.jpg\n'),
    "8 lists of objects": pictures({}, ["https://a.test/1.jpg https://a.test/2.jpg", "https://a.test/4.jpg"],
                                   'item_id,title,image\np1,A,"[{""url"": ""https://a.test/1.jpg""}, {""url"": ""https://a.test/2.jpg""}]"\np2,B,"{""large"": ""https://a.test/4.jpg""}"\n'),
    "8 a folder of another name": Case({"interactions.csv": table(), "items.csv": ITEMS, "Product_Photos/p1.jpg": JPEG}, notes=("the folder Product_Photos is read as that of the pictures",),
                                       other=lambda raw: raw.items["image"][0] == "p1.jpg"),
    "8 a data URI": Case({"interactions.csv": table(), "items.csv": f'item_id,title,image\np1,A,"data:image/jpeg;base64,{base64.b64encode(JPEG).decode()}"\n'},
                         other=lambda raw: raw.items["title"].tolist() == ["A"]),
}  # fmt: skip
