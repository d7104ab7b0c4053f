# ruff: noqa: E501, RUF001, PT017  # titles of a catalogue, one language a line
"""A file in a code page is read as its owner meant it, or what was assumed, or must be stated, is said."""

import random
import re

import pytest
from ingest.test_dialects import read

from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.code_pages import readings
from mmsra_pipeline.ingest.encodings import detect

TITLES = {
    "ru": "Лампа настольная красная|Стол письменный из дуба|Кресло для дома и сада|Зеркало в ванную комнату|Детская кроватка|Чайник электрический|Полотенце махровое|Набор посуды|Книга о вкусной пище|Куртка мужская зимняя",
    "uk": "Лампа настільна червона|Стіл письмовий|Крісло для дому|Дзеркало у ванну кімнату|Дитяче ліжко|Чайник електричний|Рушник|Набір посуду|Книга|Куртка чоловіча зимова",
    "bg": "Настолна лампа червена|Бюро за писане|Кресло за дома|Огледало за баня|Детско легло|Електрическа кана|Кърпа|Комплект съдове|Книга|Мъжко яке зимно",
    "pl": "Zażółć gęślą jaźń|Łóżko dziecięce drewniane|Świecznik złoty|Żyrandol dębowy|Krzesło ogrodowe|Lustro łazienkowe|Ręcznik kąpielowy|Książka kucharska|Kurtka męska zimowa|Stół kuchenny",
    "cs": "Příliš žluťoučký kůň|Dětská postýlka|Skříň s dveřmi|Židle dřevěná|Stůl kuchyňský|Zrcadlo do koupelny|Ručník|Kniha receptů|Pánská bunda|Lampička noční",
    "sk": "Detská postieľka|Skriňa s dverami|Stolička drevená|Kuchynský stôl|Zrkadlo do kúpeľne|Uterák|Kniha receptov|Pánska bunda|Nočná lampa|Súprava riadu",
    "hu": "Asztali lámpa|Kőr alakú tükör|Gyűrű ezüst|Szék fából|Íróasztal|Fürdőszobai tükör|Gyerekágy|Törölköző|Szakácskönyv|Férfi télikabát",
    "ro": "Lampă de masă roşie|Masă de birou|Scaun pentru casă|Oglindă de baie|Pătuţ pentru copii|Fierbător electric|Prosop|Set de veselă|Carte de bucate|Geacă bărbaţi",
    "hr": "Stolna lampa crvena|Pisaći stol|Stolica za kuću|Ogledalo za kupaonicu|Dječji krevetić|Električni čajnik|Ručnik|Posuđe|Knjiga|Muška jakna žuta",
    "tr": "Çalışma masası|Yatak örtüsü|Işıklı ayna|Gümüş şamdan|Çocuk yatağı|Elektrikli su ısıtıcı|Havlu|Yemek takımı|Kitap|Erkek kışlık mont",
    "lt": "Stalinė lempa raudona|Rašomasis stalas|Kėdė namams|Veidrodis voniai|Vaikiška lovelė|Virdulys|Rankšluostis|Indų rinkinys|Knyga|Vyriška žieminė striukė",
    "et": "Laualamp punane|Kirjutuslaud|Tool koju|Vannitoa peegel|Lastevoodi|Veekeetja|Käterätik|Nõude komplekt|Kokaraamat|Meeste talvejope õhuke",
    "el": "Επιτραπέζιο φωτιστικό|Γραφείο|Καρέκλα σπιτιού|Καθρέφτης μπάνιου|Παιδικό κρεβάτι|Βραστήρας|Πετσέτα|Σετ πιάτων|Βιβλίο μαγειρικής|Ανδρικό μπουφάν",
    "he": "מנורת שולחן אדומה|שולחן כתיבה|כיסא לבית|מראה לאמבטיה|מיטת ילדים|קומקום חשמלי|מגבת|סט כלים|ספר בישול|מעיל חורף לגבר",
    "ja": "赤いテーブルランプ|木製の机|子供用の椅子|浴室の鏡|電気ケトル|タオルセット|食器セット|料理の本|メンズ冬ジャケット|コーヒーカップ",
    "zh": "红色台灯|木制书桌|儿童椅子|浴室镜子|电热水壶|毛巾套装|餐具套装|烹饪书|男士冬季夹克|咖啡杯",
    "zht": "紅色檯燈|木製書桌|兒童椅子|浴室鏡子|電熱水壺|毛巾套裝|餐具套裝|烹飪書|男士冬季夾克|咖啡杯",
    "ko": "빨간 테이블 램프|나무 책상|어린이 의자|욕실 거울|전기 주전자|수건 세트|식기 세트|요리책|남성 겨울 재킷|커피잔",
    "de": "Schöne Tischlampe|Tür weiß|Stühle für draußen|Spiegel|Kinderbett|Wasserkocher|Handtücher|Geschirr|Kochbuch für Anfänger|Herrenjacke Größe L",
    "fr": "Lampe de table dorée|Crème brûlée|Chaise d'été|Miroir à pied|Lit bébé|Théière émaillée|Serviette|Vaisselle décorée|Livre de pâtisserie|Manteau d'hiver très chaud",
    "es": "Lámpara de mesa|Escritorio pequeño|Silla de jardín|Espejo de baño|Cama niño|Tetera eléctrica|Toalla|Vajilla|Libro de cocina española|Chaqueta",
    "pt": "Candeeiro vermelho|Escrivaninha em pinho, ótima opção|Cadeira de jardim não dobrável|Espelho|Berço de bebê|Chaleira elétrica|Toalha|Louça|Livro de receitas, edição revista|Casaco à prova d'água",
    "it": "Lampada da tavolo|Scrivania|Sedia|Specchio|Lettino per bebè|Bollitore|Perché no|Piatti|Libro di cucina, città|Giacca più calda",
    "sv": "Röd bordslampa|Skrivbord|Stol för hemmet|Spegel|Barnsäng|Vattenkokare|Handduk blå|Porslin|Kokbok|Vinterjacka grå",
    "da": "Rød bordlampe|Skrivebord|Stol til hjemmet|Spejl på fod|Børneseng|Elkedel|Håndklæde|Porcelæn|Kogebog|Vinterjakke",
    "mix": "Crème Café|Smörgås deluxe|Tür weiß|Lámpara|Théière|Piñata|Größe|Brûlée|Åre|Ñandú",
}

PAGES = {
    "ru": ["cp1251", "koi8-r", "cp866", "iso8859-5"], "uk": ["cp1251", "koi8-u"], "bg": ["cp1251"],
    "pl": ["cp1250", "iso8859-2", "cp852"], "cs": ["cp1250", "iso8859-2", "cp852"], "sk": ["cp1250"],
    "hu": ["cp1250", "iso8859-2", "cp852"], "ro": ["cp1250"], "hr": ["cp1250"], "tr": ["cp1254"], "lt": ["cp1257"],
    "et": ["cp1257", "cp1252"], "el": ["cp1253", "iso8859-7"], "he": ["cp1255"], "ja": ["cp932", "euc-jp"],
    "zh": ["gb18030"], "zht": ["big5"], "ko": ["cp949"], "de": ["cp1252", "cp850", "mac_roman"],
    "fr": ["cp1252", "cp850", "mac_roman"], "es": ["cp1252", "cp850", "mac_roman"], "pt": ["cp1252", "cp850"],
    "it": ["cp1252"], "sv": ["cp1252", "cp850"], "da": ["cp1252", "cp850"], "mix": ["cp1252"],
}  # fmt: skip
WRITTEN = [(language, page) for language, pages in PAGES.items() for page in pages]


def catalogue(language: str, rows: int, seed: int) -> str:
    titles = TITLES[language].split("|")
    drawn = random.Random(seed).choices(titles, k=rows)
    return "item_id,title\n" + "".join(f"p{place},{title}\n" for place, title in enumerate(drawn))


@pytest.mark.parametrize(("language", "page"), WRITTEN)
def test_no_catalogue_is_read_wrongly_without_a_word(language, page, tmp_path):
    for rows in (1, 2, 3, 5, 10, 40):
        for seed in range(4):
            text = catalogue(language, rows, seed)
            content = text.encode(page)
            if content.isascii():
                continue
            try:
                detected = detect(content, tmp_path / "i.csv", None)
            except DataError as error:
                assert re.search(r"i\.csv: is not UTF-8.*: line \d+, .+\. State it .*`encoding: ", str(error))
                continue
            if detected.name == "utf-8":  # a few bytes that may be damage: their rows are refused
                continue
            right = content.decode(detected.name) == text
            assert right or re.search(r"; but line \d+ would be .+ as .*state `encoding: \w+`", detected.said), (
                detected.said
            )
            assert re.search(r"read as .*line \d+, .+", detected.said)


@pytest.mark.parametrize(
    ("language", "page"),
    [
        each
        for each in WRITTEN
        if each[0] in {"ru", "uk", "bg", "pl", "cs", "hu", "tr", "lt", "el", "he", "ja", "zh", "zht", "ko", "mix"}
    ],
)
def test_a_catalogue_of_one_language_is_detected_from_forty_titles(language, page, tmp_path):
    for seed in range(4):
        text = catalogue(language, 40, seed)
        detected = detect(text.encode(page), tmp_path / "i.csv", None)
        assert text.encode(page).decode(detected.name) == text


def test_the_same_letters_of_two_languages_are_said_with_what_they_would_be_otherwise(tmp_path):
    detected = detect("item_id,title\np1,Szék\np2,Gyűrű\n".encode("cp1250"), tmp_path / "i.csv", None)
    assert detected.name == "cp1252"
    assert re.search("line 3 would be 'p2,Gyűrű' as cp1250 .Hungarian., and is 'p2,Gyûrû' now", detected.said)
    assert not re.search("would be", detect("title\nCrème brûlée à la forêt\n".encode("cp1252"), tmp_path, None).said)


def test_letters_beside_ascii_are_no_east_asian_text():
    assert not [one for one in readings("Tetera eléctrica, peque±o".encode("cp850")) if one.page == "cp949"]


@pytest.mark.parametrize(
    ("option", "guess"),
    [("utf8x", "'utf8'"), ("hex", ""), ("rot13", ""), ("punycode", ""), ("unicode_escape", ""), ("windows-12511", "'windows_1251'"),
     ("shiftjiss", "'shiftjis'"), ("gb-18030", "'gb18030")],
)  # fmt: skip
def test_an_encoding_that_is_none_of_files_is_an_error_with_the_nearest(option, guess, tmp_path):
    with pytest.raises(DataError, match=rf"encoding: '{option}' is not known\..*{guess}"):
        detect(b"user_id\n", tmp_path / "i.csv", option)


@pytest.mark.parametrize(("language", "page"), WRITTEN)
def test_a_stated_encoding_is_used(language, page, tmp_path):
    text = TITLES[language].split("|")
    content = "user_id;item_id;timestamp;review\n" + "".join(
        f"u;i;{10**9 + at};{word}\n" for at, word in enumerate(text)
    )
    raw = read(tmp_path, content.encode(page), encoding=page)
    assert raw.column("review") == text
    assert raw.rejects == []


def test_rows_with_bytes_that_are_none_of_the_stated_encoding_are_refused(tmp_path):
    rows = ["u,i,1000000001,plain", "u,i,1000000002,红色台灯", "u,i,1000000003,木制书桌"]
    content = ("user_id,item_id,timestamp,review\n" + "\n".join(rows)).encode("gb18030")
    raw = read(tmp_path, content, encoding="euc_jp")
    assert not any("\ufffd" in review for review in raw.column("review"))
    raw = read(tmp_path, content, encoding="ascii")
    assert raw.column("review") == ["plain"]
    assert {one["line"]: one["reason"] for one in raw.rejects} == dict.fromkeys(
        (3, 4), "has bytes that are no ascii; correct them, or state the file's `encoding:`"
    )


def test_a_stated_code_page_of_a_file_that_is_utf_8_is_said(tmp_path):
    raw = read(tmp_path, "user_id,item_id,review\nu,i,Crème\n".encode(), encoding="cp1252")
    assert re.search("is read as cp1252, as stated, but is valid UTF-8: line 2, 'u,i,Crème'", " ".join(raw.notes))


def test_a_little_damage_in_a_long_file_costs_its_rows_alone(tmp_path):
    lines = [b"u,i,%d,plain" % (10**9 + at) for at in range(200)]
    lines[7] += b"\x84"
    raw = read(tmp_path, b"user_id,item_id,timestamp,review\n" + b"\n".join(lines))
    assert [one["line"] for one in raw.rejects] == [9]
