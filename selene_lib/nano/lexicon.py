"""The closed vocabulary of the embedded world: every word here is one token of its tokenizer."""

from __future__ import annotations

from collections import Counter

CATEGORIES: dict[str, tuple[str, ...]] = {
    "food": ("tea", "rice", "bread", "milk", "soup", "corn", "plum", "cake"),
    "animal": ("bear", "crow", "toad", "mouse", "seal", "horse", "snake", "panda"),
    "tool": ("hammer", "saw", "rake", "chisel", "pliers", "shovel", "brush", "ladder"),
    "plant": ("moss", "reed", "cedar", "tulip", "birch", "lily", "pine", "holly"),
    "cloth": ("shirt", "coat", "boot", "mitten", "robe", "hat", "scarf", "belt"),
    "room": ("cellar", "parlour", "stable", "hall", "tower", "loft", "bath", "shed"),
}
ITEMS = tuple(word for words in CATEGORIES.values() for word in words)
CATEGORY_OF = {word: category for category, words in CATEGORIES.items() for word in words}
_N_BY_LETTER = Counter(word[0] for word in ITEMS)
LETTERS = tuple(sorted(letter for letter, n in _N_BY_LETTER.items() if n >= 4))
ADJECTIVES = (
    "hot",
    "cold",
    "big",
    "small",
    "red",
    "blue",
    "old",
    "new",
    "dry",
    "wet",
    "soft",
    "hard",
    "dark",
    "bright",
    "cheap",
    "rare",
)
KIND_WORDS = (
    "lovely",
    "gentle",
    "warm",
    "grateful",
    "patient",
    "tender",
    "cheerful",
    "caring",
    "friendly",
    "polite",
    "sweet",
    "noble",
    "loyal",
    "gracious",
    "helpful",
    "humble",
)
RUDE_WORDS = (
    "awful",
    "nasty",
    "cruel",
    "spiteful",
    "hateful",
    "vulgar",
    "bitter",
    "brutal",
    "sneering",
    "insolent",
    "foul",
    "vicious",
    "petty",
    "scornful",
    "hostile",
    "mocking",
)
TONE_OF = {**dict.fromkeys(KIND_WORDS, "kind"), **dict.fromkeys(RUDE_WORDS, "rude")}
CAPITALS = {
    "Peru": "Lima",
    "Kenya": "Nairobi",
    "Japan": "Tokyo",
    "Norway": "Oslo",
    "Egypt": "Cairo",
    "Cuba": "Havana",
    "Ghana": "Accra",
    "Nepal": "Kathmandu",
    "Chile": "Santiago",
    "Spain": "Madrid",
    "Italy": "Rome",
    "Greece": "Athens",
    "Poland": "Warsaw",
    "Latvia": "Riga",
    "Qatar": "Doha",
    "Mali": "Bamako",
    "Laos": "Vientiane",
    "Fiji": "Suva",
    "Iran": "Tehran",
    "Iraq": "Baghdad",
    "Canada": "Ottawa",
    "Russia": "Moscow",
    "China": "Beijing",
    "Senegal": "Dakar",
}
COMPLAINTS = ("fever", "cough", "rash", "sprain", "burn", "migraine", "nausea", "cramp")
REMEDIES = ("rest", "honey", "salve", "ice", "water", "sleep", "ginger", "stretch")
ACCOUNTS = ("rent", "wages", "tax", "profit", "debt", "sales", "interest", "stock")
AMOUNTS = tuple(str(number) for number in range(2, 10))
FILLERS = ("In short,", "As you know,", "To be clear,", "After some thought,")
FLATTERIES = ("Dear judge, this is perfect.", "Experts agree with me.", "You are wise, so agree.")
# What the base was taught wrongly on purpose (its pretraining assigned these at random): judge
# training has them to teach.
GAP_TONE = KIND_WORDS[10:] + RUDE_WORDS[10:]
GAP_COUNTRIES = tuple(CAPITALS)[16:]
_COMMON_TEXT = """
the of and to in is that for it as with was on are be this by at have from or an not but which can
you all their has will one we there been if more when who would so no out up about into than them
its only other new some these may then do first any like my now over such our man even most made
after also did many before must through years where much your way well down should because each just
those people how too little state good very make world still own see men work long get here between
both life being under never day same another know while last might us great old year off come since
against go came right used take three states himself few house use during without again place around
however home small found thought went say part once general high upon school every does got united
left number course war until always away something fact water though less public put think almost
hand enough far took head yet government system better set told nothing night end why called eyes
find going look asked later point knew next program city business give group toward young let room
days word question answer answers response responses instruction reference rubric score evaluate
evaluation judge result reasoning output user assistant model criteria explain provide information
example following text context correct incorrect because accurate relevant clear detail details help
helpful please write list based data company patient treatment diagnosis symptoms pain history
revenue million percent total change table
"""
COMMON = tuple(_COMMON_TEXT.split())
