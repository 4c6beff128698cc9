"""What accounts' forms hold, and which new password is taken. Knows no database.

Forms bound each text generously and the checks here say what is wrong, so that a form can be shown again with what
was entered.
"""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from lifelearn.workspace.names import clean_name

PASSWORD_LEAST, PASSWORD_MOST = 10, 256
FORM_CHARACTERS = 1000
# Long enough, and yet among the first that anybody would try.
_COMMON = """
0000000000 0123456789 1111111111 1112223334 1122334455 1212121212 123123123123 1231231234 1234123412 1234512345
1234554321 123456123456 1234567890 12345678900 12345678901 123456789012 1234567890123 12345678910 123456789123
123456789a 123456789q 123qweasdzxc 1357924680 1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx3edc 1qazxsw23edc 2222222222
5555555555 7777777777 9876543210 0987654321 9999999999 aaaaaaaaaa abc1234567 abcd123456 abcdefghij abcdefghijk
administrator administrator1 admin12345 admin123456 asdfghjkl1 asdfghjkl; baseball123 changeme123 changeme1234
charlie123 computer123 correcthorsebatterystaple dragon12345 football123 football1234 football12 helloworld
helloworld1 iloveyou123 iloveyou12 iloveyou1234 iloveyousomuch letmein123 letmein1234 liverpool1 liverpool123
lovelovelove master12345 michael123 monkey12345 motdepasse mypassword mypassword1 mypassword123 p@ssw0rd123
p@ssword123 pa$$word123 pass123456 passw0rd12 passw0rd123 password00 password01 password10 password11 password12
password1! password123 password123! password1234 password12345 password123456 password2024 password2025 password2026
passwordpassword passwort12 passwort123 princess123 q1w2e3r4t5 q1w2e3r4t5y6 qazwsxedc1 qazwsxedc123 qazwsxedcrfv
qqqqqqqqqq querty1234 qwer123456 qwer1234567 qwerasdfzxcv qwerqwer1234 qwertz1234 qwertzuiop qwerty1234 qwerty12345
qwerty123456 qwertyuiop qwertyuiop1 qwertyuiop123 qwertyuiop[] secret1234 starwars123 sunshine123 superman123
test123456 test1234567 testtest12 testtest123 testtesttest trustno1trustno1 welcome123 welcome1234 welcome12345
whatever123 zaq12wsxcde3 zxcvbnm123 zxcvbnm1234 zxcvbnm,./ lifelearn1 lifelearn123 life-learn life-learn1
life-learn123
"""
COMMON = frozenset(_COMMON.split())


class AccountForm(BaseModel):
    """What a form may hold; anything else is refused."""

    model_config = ConfigDict(extra="forbid")

    csrf: str = Field("", max_length=FORM_CHARACTERS)


Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=FORM_CHARACTERS)]
# Not stripped. One form of each letter, so that a password typed on another system is the same.
Password = Annotated[
    str, StringConstraints(max_length=FORM_CHARACTERS), AfterValidator(lambda text: unicodedata.normalize("NFC", text))
]


def clean_team(text: str) -> str:
    """An organisation's name, of who enters the first one."""
    return clean_name(text, "the name of your team or company")


def password_problem(password: str, email: str = "", name: str = "") -> str:
    """Why a new password is not taken; "" for one that is. Length counts, composition does not."""
    if len(password) < PASSWORD_LEAST:
        return f"Use at least {PASSWORD_LEAST} characters. A few words do well."
    if len(password) > PASSWORD_MOST:
        return f"Use at most {PASSWORD_MOST} characters."
    folded = password.casefold()
    own = {email.casefold(), email.partition("@")[0].casefold(), name.casefold(), name.casefold().replace(" ", "")}
    if folded in own:
        return "Your name or address would be the first thing tried. Use something else."
    if folded in COMMON:
        return "This password is among the first that would be tried. Use something else."
    return ""
