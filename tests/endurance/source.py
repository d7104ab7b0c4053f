"""The sample store as files that change from night to night, and what is said of each item there."""

import hashlib
import random
from pathlib import Path

import pandas as pd
from PIL import Image

from mmsra_pipeline.sample_store.shop import Size, make_shop, write_shop

DAY = pd.Timedelta(days=1)
Content = tuple[str, ...]


class Source:
    """A data set of ``format: tables`` in ``folder``."""

    def __init__(self, folder: Path, size: Size, seed: int) -> None:
        write_shop(make_shop(size, seed), folder)
        self.folder = folder
        self._random = random.Random(seed)
        reviews = pd.read_csv(self._reviews)
        self._users = sorted(reviews["user_id"].unique())
        self._now = pd.to_datetime(reviews["timestamp"]).max()
        self._whole: dict[Path, bytes] = {}
        """What broken pictures were."""

    def change(self) -> str:
        """Let a day pass, with some reviews, other texts, a new item, broken and fixed pictures; say what was done."""
        self._now += DAY
        draw = self._random
        done = {
            "reviews": self._take(draw.choice([0, 3, 12])),
            "texts": self._describe(draw.choice([0, 0, 1, 3])),
            "items": self._add_item() if draw.random() < 0.2 else 0,
            "pictures fixed": self._repair(draw.choice([0, 1])),
            "pictures broken": self._break(draw.choice([0, 0, 1, 2])),
        }
        return ", ".join(f"{count} {what}" for what, count in done.items() if count) or "nothing"

    def contents(self) -> dict[str, Content]:
        """Give what can be read and seen of each item: its texts, and the hash of a picture that is not broken."""
        return {
            row["item_id"]: (*row[["title", "description", "category", "tags"]], self._seen(row["image"]))
            for _, row in self._table().iterrows()
        }

    def pictures(self) -> list[str]:
        """Give the hash of the bytes of each item's picture, broken or not."""
        return [_hash(self._picture(name)) for name in self._table()["image"] if name]

    def reviewed(self) -> str:
        """Name what the file of the reviews holds."""
        return _hash(self._reviews)

    @property
    def _reviews(self) -> Path:
        return self.folder / "interactions.csv"

    @property
    def _items(self) -> Path:
        return self.folder / "items.csv"

    def _table(self) -> pd.DataFrame:
        return pd.read_csv(self._items, dtype=str, keep_default_na=False)

    def _picture(self, name: str) -> Path:
        return self.folder / "images" / name

    def _seen(self, name: str) -> str:
        path = self._picture(name)
        return _hash(path) if name and path not in self._whole else ""

    def _take(self, count: int) -> int:
        items = list(self._table()["item_id"])
        with self._reviews.open("a") as reviews:
            for number in range(count):
                new = self._random.random() < 0.1
                user = f"n{self._now:%y%m%d}{number}" if new else self._random.choice(self._users)
                for place in range(4 if new else 1):  # with fewer a new user would be filtered out
                    moment = self._now + pd.Timedelta(minutes=10 * number + place)
                    reviews.write(f"{user},{self._random.choice(items)},{moment:%Y-%m-%dT%H:%M:%SZ},5,good\n")
        return count

    def _describe(self, count: int) -> int:
        table = self._table()
        for row in self._random.sample(range(len(table)), count):
            field = self._random.choice(["title", "description"])
            said = table[field].tolist()
            said[row] += f" Edition of {self._now:%d %B %Y}, number {row}."
            table[field] = said
        table.to_csv(self._items, index=False)
        return count

    def _add_item(self) -> int:
        table = self._table()
        like = table[table["image"] != ""].sample(1, random_state=self._random.randrange(2**31)).iloc[0]
        item = f"x{self._now:%y%m%d}"
        title = f"{like['title']} of {self._now:%d %B}"
        new = like.to_dict() | {"item_id": item, "title": title, "image": f"{item}.png"}
        table = pd.concat([table, pd.DataFrame([new])], ignore_index=True)
        table.to_csv(self._items, index=False)
        Image.new("RGB", (64, 64), tuple(self._random.randbytes(3))).save(self._picture(f"{item}.png"))
        return 1

    def _break(self, count: int) -> int:
        whole = sorted(path for path in (self.folder / "images").iterdir() if path not in self._whole)
        for path in self._random.sample(whole, count):
            content = self._whole[path] = path.read_bytes()
            torn = [content[: len(content) // 2], b"", b"<html>404 not found</html>"]
            path.write_bytes(self._random.choice(torn))
        return count

    def _repair(self, count: int) -> int:
        broken = sorted(self._whole)[:count]
        for path in broken:
            path.write_bytes(self._whole.pop(path))
        return len(broken)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
