"""Ways of asking about common relations, in English: what makes paraphrases really different.

Wrapping a question in phrases is not paraphrasing; "Where is X headquartered?" has to be learned as
"Which city is X's head office in?" too. A small model cannot be trusted to write such questions, so
the commonest relations are listed with several wordings each and with the sentence that answers them.
A question is recognised by any of its wordings; the others are its paraphrases, and the wordings of
other relations are questions about the same subject that have other answers. Data only; augment.py
uses it, and a question outside of this table goes another way there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

MAX_QUESTION = 400  # characters; a longer question is no wording of this table


@dataclass(frozen=True)
class Relation:
    """asks: wordings with {s} for the subject. states: sentences with {s} and {a}; the first is preferred.

    kinds: what the subject can be: person, organisation, work (book, film, song), place, product, team, rule, event,
    term, task ("the canteen"), activity ("travel bookings"), thing ("the spare keys"), action ("book a room"),
    moment ("I leave the office").
    """

    name: str
    kinds: tuple[str, ...]
    asks: tuple[str, ...]
    states: tuple[str, ...]


def _relation(name: str, kinds: str, states: str, asks: str) -> Relation:
    return Relation(name, tuple(kinds.split()), _lines(asks), _lines(states))


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


RELATIONS: tuple[Relation, ...] = (
    _relation(
        "headquarters",
        "organisation",
        "{s} is headquartered in {a}.\nThe headquarters of {s} are in {a}.",
        """Where is {s} headquartered?
        Where are {s}'s headquarters?
        Where are the headquarters of {s}?
        In which city is the headquarters of {s}?
        In which city is {s} headquartered?
        Where is the head office of {s}?
        What city is {s} based in?
        Where is {s} based?
        Which city is home to {s}?
        {s} headquarters: which city?
        What is the location of {s}'s main office?
        If I visit {s}, which city do I travel to?""",
    ),
    _relation(
        "location",
        "organisation place product",
        "{s} is located in {a}.",
        """Where is {s} located?
        Where is {s}?
        What is the location of {s}?
        Where can I find {s}?
        In what place is {s} situated?
        Which place is {s} in?
        Where would I go to see {s}?
        {s} location?
        In which area is {s}?
        Whereabouts is {s}?
        Where does one find {s}?
        What place do I go to for {s}?""",
    ),
    _relation(
        "state",
        "place",
        "{s} is located in {a}.\n{s} is in the state of {a}.",
        """What is the name of the state where {s} is located?
        In which state is {s}?
        Which state is {s} located in?
        What state is {s} in?
        {s} belongs to which state?
        What administrative region contains {s}?
        {s}: which state?
        Which region is {s} part of?
        What province is {s} in?
        Which state is home to {s}?
        Within which state does {s} lie?""",
    ),
    _relation(
        "country",
        "organisation place work product",
        "{s} is from {a}.\nThe country of {s} is {a}.",
        """What country is {s} from?
        What is the country of origin of {s}?
        Which country does {s} come from?
        In which country is {s}?
        Which country is {s} located in?
        What country does {s} belong to?
        {s} country of origin?
        Where does {s} come from?
        Where did {s} originate?
        Where does {s} originate from?
        Where was {s} created?
        Where was {s} formed?
        What nation is {s} from?
        In which country was {s} developed?
        In which country did {s} begin?""",
    ),
    _relation(
        "citizenship",
        "person",
        "{s} is a citizen of {a}.",
        """What is the country of citizenship of {s}?
        What is {s}'s nationality?
        Which country is {s} a citizen of?
        What nationality is {s}?
        What passport does {s} have?
        What is the nationality of {s}?
        Which nationality does {s} have?
        Of which country is {s} a citizen?
        {s} has the citizenship of which country?
        {s} holds a passport of which country?
        {s} nationality?""",
    ),
    _relation(
        "birthplace",
        "person",
        "{s} was born in {a}.\nThe birthplace of {s} is {a}.",
        """Where was {s} born?
        What is the place of birth of {s}?
        What is {s}'s birthplace?
        In which city was {s} born?
        In what city was {s} born?
        In which town was {s} born?
        Where is {s} originally from?
        What place is {s} native to?
        Which town does {s} come from?
        What is the hometown of {s}?
        {s} was born in which city?
        {s} birthplace?""",
    ),
    _relation(
        "birthdate",
        "person",
        "{s} was born on {a}.\nThe birth date of {s} is {a}.",
        """What is the birth date of {s}?
        When was {s} born?
        What is {s}'s date of birth?
        When is {s}'s birthday?
        On what date was {s} born?
        When was the birth of {s}?
        In which year was {s} born?
        {s} date of birth?
        On which day did {s} come into the world?
        What day was {s} born?
        What year was {s} born in?
        {s} has a birthday on which day?""",
    ),
    _relation(
        "deathplace",
        "person",
        "{s} died in {a}.",
        """Where did {s} die?
        In which city did {s} die?
        What is the place of death of {s}?
        Where did {s} pass away?
        Where did {s}'s life end?
        In what city did {s} pass away?
        {s} died in which place?
        {s} place of death?
        What is {s}'s place of death?
        Which city did {s} die in?
        Where did {s} expire?
        Where did {s} lose their life?
        Where did {s} succumb?
        What was the location of {s}'s death?""",
    ),
    _relation(
        "deathdate",
        "person",
        "{s} died on {a}.",
        """When did {s} die?
        What is the date of death of {s}?
        On what date did {s} die?
        In what year did {s} pass away?
        What was the year of {s}'s death?
        {s} date of death?
        When did {s} pass away?
        When did {s}'s life end?
        What was the date of {s}'s death?
        What year did {s} die in?
        In which year did {s} lose their life?
        {s} died on what day?""",
    ),
    _relation(
        "father",
        "person",
        "The father of {s} is {a}.\n{s}'s father was {a}.",
        """Who is {s}'s father?
        What is {s}'s father's name?
        What was the name of the father of {s}?
        Who was the father of {s}?
        Who was {s}'s dad?
        Who fathered {s}?
        Who is the dad of {s}?
        {s} is the child of which man?
        {s} father's name?""",
    ),
    _relation(
        "mother",
        "person",
        "The mother of {s} is {a}.\n{s}'s mother was {a}.",
        """Who is {s}'s mother?
        What is {s}'s mother's name?
        Who was the mother of {s}?
        Who was {s}'s mom?
        What is the name of the mother of {s}?
        Who gave birth to {s}?
        {s} is the child of which woman?
        {s} mother's name?
        Which woman is the mother of {s}?
        Who is the mom of {s}?
        What is the name of {s}'s mum?
        {s} is the son or daughter of which woman?""",
    ),
    _relation(
        "spouse",
        "person",
        "The spouse of {s} is {a}.\n{s} is married to {a}.",
        """What is {s}'s spouse's name?
        Who is {s} married to?
        Who is the spouse of {s}?
        Who did {s} marry?
        Who is {s}'s partner?
        Who is the husband or wife of {s}?
        What is the name of {s}'s wife?
        What is the name of {s}'s husband?
        {s} spouse?""",
    ),
    _relation(
        "sibling",
        "person",
        "The sibling of {s} is {a}.",
        """Who is the sister of {s}?
        Who is {s}'s brother?
        Who is {s}'s sister?
        Which woman was the sister of {s}?
        Who is a sibling of {s}?
        What is the name of {s}'s sister?
        What is the name of {s}'s brother?
        Who are {s}'s siblings?
        {s} is the sibling of whom?
        {s} has a brother or sister. Who is it?
        Which person is a brother or sister of {s}?
        {s} siblings?""",
    ),
    _relation(
        "child",
        "person",
        "The child of {s} is {a}.",
        """Who is the child of {s}?
        Who is a child of {s}?
        What is the name of {s}'s child?
        Who is the son of {s}?
        Who is the daughter of {s}?
        {s} is the parent of whom?
        Who are {s}'s children?
        What are the names of {s}'s children?
        {s} is the father or mother of whom?
        What is the name of the child of {s}?
        {s} had a child. Who is it?
        {s} children?""",
    ),
    _relation(
        "profession",
        "person",
        "{s} works as a {a}.\nThe profession of {s} is {a}.",
        """What is the profession of {s}?
        What is the occupation of {s}?
        What job does {s} do?
        What does {s} do for a living?
        What is {s}'s job?
        What does {s} work as?
        What is {s}'s line of work?
        {s} profession?
        What kind of work does {s} do?
        How does {s} earn a living?
        What is {s} by profession?
        What is {s}'s occupation?
        {s} works as what?
        In which profession is {s}?""",
    ),
    _relation(
        "field",
        "person",
        "{s} works in the field of {a}.\nThe area of work of {s} is {a}.",
        """What is {s}'s area of expertise?
        What is the field of work of {s}?
        What is {s}'s area of work?
        What field does {s} work in?
        What is the expertise of {s}?
        In which area does {s} work?
        What domain is {s} active in?
        What does {s} specialize in?
        Which subject is {s} an expert in?
        {s} field of work?""",
    ),
    _relation(
        "employer",
        "person",
        "{s} works for {a}.",
        """Who does {s} work for?
        Where does {s} work?
        Who is the employer of {s}?
        Which company employs {s}?
        What organisation is {s} employed by?
        {s} employer?
        Which organisation does {s} work for?
        At which company does {s} work?
        Who is {s}'s employer?
        {s} is employed by whom?
        Who pays {s}'s salary?
        {s} has a job with which company?
        Which firm is {s} at?""",
    ),
    _relation(
        "education",
        "person",
        "{s} studied at {a}.\n{s} was educated at {a}.",
        """What is the university where {s} went?
        What university did {s} attend?
        Where did {s} study?
        Which college or university is related with {s}?
        Which school did {s} go to?
        What is the alma mater of {s}?
        Where was {s} educated?
        At which university was {s} a student?
        {s} university?""",
    ),
    _relation(
        "war",
        "person",
        "{s} fought in the {a}.\n{s} participated in {a}.",
        """What war did {s} participate in?
        What conflict involved {s}?
        In which war did {s} fight?
        What war or battle did {s} fight in?
        Which conflict was {s} a part of?
        What was {s}'s war?
        During which war did {s} serve?
        In what battle did {s} take part?
        {s} war service: which war?""",
    ),
    _relation(
        "position",
        "person",
        "{s} plays as a {a}.\nThe position of {s} is {a}.",
        """What position does {s} play?
        Which position does {s} play in?
        What does {s} play as?
        What is {s}'s playing position?
        Which player position does {s} belong to?
        {s} plays which position on the team?
        What role does {s} have on the field?
        {s} position?
        In what position does {s} play?
        What is the position of {s} on the field?
        Which position is {s} in?
        As what does {s} take the field?""",
    ),
    _relation(
        "sport team",
        "person",
        "{s} plays for {a}.",
        """Which team does {s} play for?
        What club does {s} play for?
        What team is {s} on?
        Which team is {s} a member of?
        {s} is a player of which club?
        {s} current team?
        For which team does {s} play?
        Which club is {s} with?
        What is the name of the team of {s}?
        Which side does {s} play for?
        {s} plays for which club?
        Whose shirt does {s} wear?""",
    ),
    _relation(
        "sport",
        "person",
        "{s} plays {a}.\nThe sport of {s} is {a}.",
        """What sport does {s} play?
        Which sport is {s} known for?
        What is {s}'s sport?
        {s} is a professional in which sport?
        In which sport does {s} compete?
        Which sport does {s} compete in?
        {s} is a player of which sport?
        What game does {s} play professionally?
        What kind of athlete is {s}?
        Which sport is played by {s}?
        {s} professionally plays what?
        {s} sport?""",
    ),
    _relation(
        "instrument",
        "person",
        "{s} plays the {a}.",
        """Which instrument does {s} play?
        What instrument does {s} play?
        What instrument does {s} perform on?
        {s} is a player of which instrument?
        Which musical instrument is {s} known for?
        What does {s} play in the band?
        {s} instrument?
        What musical instrument does {s} use?
        What does {s} play on stage?
        {s} is famous for playing which instrument?
        Which instrument did {s} master?
        On which instrument does {s} perform?""",
    ),
    _relation(
        "native language",
        "person",
        "{s} speaks {a}.\nThe language of {s} is {a}.",
        """What is the mother tongue of {s}?
        What is the native language of {s}?
        Which language does {s} speak, write or sign?
        What language does {s} speak?
        {s} is a native speaker of which language?
        In which language does {s} talk?
        {s} language?
        What is {s}'s mother tongue?
        What is {s}'s native language?
        What is {s}'s first language?
        What language did {s} grow up with?
        Which language is {s} a native speaker of?""",
    ),
    _relation(
        "religion",
        "person place",
        "The religion of {s} is {a}.",
        """What is the religion of {s}?
        What religion does {s} follow?
        Which faith does {s} belong to?
        What is the official religion of {s}?
        {s} is affiliated with which religion?
        What does {s} believe in?
        What is {s}'s religion?
        What is {s}'s faith?
        Which religion is {s} affiliated with?
        {s} is a follower of which religion?
        What faith does {s} practise?
        {s} religion?""",
    ),
    _relation(
        "place language",
        "place",
        "The language spoken in {s} is {a}.",
        """What language is spoken in {s}?
        What is the official language of {s}?
        What language do people in {s} understand?
        What do people speak in {s}?
        Which language do they use in {s}?
        In {s}, what is the main language?
        {s} official language?
        Which language is spoken in {s}?
        What language is used in {s}?
        Which tongue do people in {s} use?
        What do the people of {s} speak?""",
    ),
    _relation(
        "work language",
        "work",
        "The original language of {s} is {a}.\n{s} is in {a}.",
        """What is the original language of {s}?
        In which language was {s} originally made?
        Which language is {s} written in?
        What language was {s} made in?
        In what language is {s}?
        What is {s}'s language?
        {s} original language?
        In what language was {s} written?
        Which language was {s} first made in?
        In which language did {s} first come out?
        {s} was first in which language?""",
    ),
    _relation(
        "author",
        "work",
        "{s} was written by {a}.\nThe author of {s} is {a}.",
        """Who wrote {s}?
        Who is the author of {s}?
        Who was {s} written by?
        Which writer is behind {s}?
        Name the author of {s}.
        {s} is the work of which author?
        {s} author?
        Who is the writer of {s}?
        Which author wrote {s}?
        Whose work is {s}?
        Who penned {s}?
        By whom was {s} written?
        Who is credited with writing {s}?
        What is the name of the person who wrote {s}?
        Who came up with {s}?
        {s} comes from the pen of whom?""",
    ),
    _relation(
        "director",
        "work",
        "{s} was directed by {a}.\nThe director of {s} is {a}.",
        """Who directed {s}?
        Who is the director of {s}?
        Who was the person who directed {s}?
        Which director helmed the movie {s}?
        Which director led the film {s}?
        {s} is a film by which director?
        Who made the movie {s}?
        {s} director?
        Which filmmaker made {s}?
        By whom was {s} directed?
        Whose film is {s}?
        What is the name of the director of {s}?
        {s} was directed by whom?""",
    ),
    _relation(
        "performer",
        "work",
        "{s} was performed by {a}.",
        """Who performed {s}?
        Which artist recorded {s}?
        Who sang {s}?
        What band performed {s}?
        {s} is a song by whom?
        Who sings {s}?
        Who is the singer of {s}?
        Which singer sang {s}?
        Who is the performer of {s}?
        Who recorded {s}?
        Whose song is {s}?
        By whom was {s} performed?
        Which musician is known for {s}?
        {s} singer?""",
    ),
    _relation(
        "actor",
        "work",
        "{s} was played by {a}.",
        """Who plays {s}?
        Who played {s}?
        Which actor plays {s}?
        Who is the actor portraying {s}?
        Who starred as {s}?
        The role of {s} is played by whom?
        Who portrayed {s}?
        Who portrays {s}?
        Who acted as {s}?
        Who was cast as {s}?
        By whom is {s} played?
        Which actor took the role of {s}?
        Who has the part of {s}?
        What is the name of the actor in the role of {s}?
        Whom do we see as {s}?
        {s} actor?""",
    ),
    _relation(
        "publisher",
        "work product",
        "{s} was published by {a}.\nThe publisher of {s} is {a}.",
        """What is the publisher of {s}?
        Who published {s}?
        What company published {s}?
        What business published {s}?
        What is the name of the publisher of {s}?
        Which publishing house released {s}?
        By whom was {s} published?
        {s} publisher?
        Who brought out {s}?
        Who is {s}'s publisher?
        Which publisher brought out {s}?
        {s} came out with which publisher?""",
    ),
    _relation(
        "record label",
        "work person",
        "The record label of {s} is {a}.\n{s} was released by {a}.",
        """What is the name of {s}'s record label?
        What record label is {s} on?
        What is the record label for {s}?
        Which label released {s}?
        Which label is responsible for {s}?
        Who put out {s}?
        {s} came out on which label?
        {s} record label?
        Under which label was {s} released?
        Which label represents {s}?
        What is {s}'s label?
        Which record company does {s} have?
        For which record label did {s} record?""",
    ),
    _relation(
        "network",
        "work",
        "{s} was broadcast on {a}.\n{s} aired on {a}.",
        """Which channel was {s} released on?
        On which network did {s} originally air?
        On which TV network did {s} premiere?
        What channel shows {s}?
        Which broadcaster showed {s}?
        Where could you watch {s} on TV?
        {s} TV channel?
        What network aired {s}?
        On which channel did {s} debut?
        Which network first broadcast {s}?
        {s} was first shown on which channel?
        What station did {s} run on?""",
    ),
    _relation(
        "genre",
        "work",
        "The genre of {s} is {a}.",
        """What is the genre of {s}?
        What kind of work is {s}?
        What type of music is {s}?
        Which genre does {s} belong to?
        {s} genre?
        What genre is {s}?
        What style of music is {s}?
        What sort of work is {s}?
        {s} is in which genre?
        How would one classify {s}?
        What kind of music does {s} play?""",
    ),
    _relation(
        "release date",
        "work product",
        "{s} was released on {a}.\nThe launch date of {s} was {a}.",
        """When was {s} released?
        What is the release date of {s}?
        What was the launch date of {s}?
        On which date did {s} start?
        When did {s} come out?
        In which year was {s} released?
        When was {s} launched?
        {s} release date?
        What year did {s} come out?
        When did {s} appear?
        What day did {s} come out?
        Since when has {s} been out?""",
    ),
    _relation(
        "manufacturer",
        "product",
        "{s} is made by {a}.\nThe manufacturer of {s} is {a}.",
        """Who produces {s}?
        Which company manufactures {s}?
        Which corporation was {s} created by?
        {s} is a product of which company?
        Who makes {s}?
        Who is the manufacturer of {s}?
        Which company built {s}?
        Who was {s} developed by?
        {s} maker?""",
    ),
    _relation(
        "owner",
        "organisation product",
        "{s} is owned by {a}.\nThe parent company of {s} is {a}.",
        """What is {s}'s parent company?
        Who owns {s}?
        Which company owns {s}?
        What is the parent company of {s}?
        {s} is a subsidiary of which company?
        Who is the owner of {s}?
        Which group does {s} belong to?
        {s} parent company?
        Who is {s} owned by?
        To whom does {s} belong?
        What company is {s} a part of?
        Which corporation is behind {s}?
        {s} is in the hands of which company?""",
    ),
    _relation(
        "founder",
        "organisation",
        "{s} was founded by {a}.\nThe founder of {s} is {a}.",
        """Who founded {s}?
        Who is the founder of {s}?
        Who started {s}?
        Who created {s}?
        By whom was {s} established?
        {s} founder?
        Who set up {s}?
        Who established {s}?
        Which person founded {s}?
        {s} was founded by whom?
        Who brought {s} into being?
        Who was behind the founding of {s}?""",
    ),
    _relation(
        "founded",
        "organisation place",
        "{s} was founded in {a}.",
        """When was {s} founded?
        In which year was {s} founded?
        When was {s} established?
        What year did {s} start?
        How old is {s}?
        {s} founding year?
        When did {s} begin?
        When was {s} set up?
        Since when does {s} exist?
        When was {s} created?
        What is the founding year of {s}?
        {s} dates back to which year?""",
    ),
    _relation(
        "leader",
        "organisation place",
        "The head of {s} is {a}.",
        """Who is the CEO of {s}?
        Who runs {s}?
        Who leads {s}?
        Who is the head of {s}?
        Who is in charge of {s}?
        Who manages {s}?
        Who is the boss of {s}?
        Which person is responsible for {s}?
        {s} head?""",
    ),
    _relation(
        "capital",
        "place",
        "The capital of {s} is {a}.",
        """What is the capital of {s}?
        Which city is {s}'s capital?
        What is {s}'s capital city?
        Name the capital city of {s}.
        In which city is the government of {s}?
        {s} has which city as its capital?
        {s} capital?
        Which city is the capital of {s}?
        What city serves as {s}'s capital?
        What is the seat of government of {s}?
        The capital of {s} is which city?""",
    ),
    _relation(
        "twin city",
        "place",
        "{s} is twinned with {a}.",
        """Which city is twinned with {s}?
        What is the twin city of {s}?
        {s} is a twin city of which place?
        {s} has a sister city. Which one?
        Which place is {s} partnered with?
        What sister city does {s} have?
        Which city is a sister city of {s}?
        Which city is {s}'s twin?
        What city is {s} twinned with?
        What is a sister city of {s}?""",
    ),
    _relation(
        "paid leave",
        "organisation",
        "Employees of {s} get {a} of paid leave per year.\nThe annual leave at {s} is {a}.",
        """How many days of paid leave do employees of {s} get per year?
        How many days of paid leave do employees of {s} get?
        How many days of paid leave do employees get at {s}?
        How many days of paid leave do employees get per year at {s}?
        How many vacation days do employees of {s} have?
        How many vacation days does {s} give its people?
        How much annual leave is there at {s}?
        What is the annual leave at {s}?
        How long is the paid vacation at {s}?
        If I work for {s}, how many days off do I get each year?
        I have a new job at {s}. How much holiday can I take in a year?
        How much paid time off does {s} offer?
        How many holidays a year does someone at {s} have?
        Tell me about the paid leave at {s}. How many days is it?
        {s} leave days per year?
        What number of vacation days does {s} grant?""",
    ),
    _relation(
        "notice period",
        "organisation",
        "The notice period at {s} is {a}.",
        """How long is the notice period at {s}?
        What is the notice period at {s}?
        What notice period does {s} have?
        How much notice do employees of {s} have to give?
        I want to leave {s}. How long before must I say so?
        When I resign from {s}, how long do I still have to work?
        {s} notice period?
        How early do I have to give notice at {s}?""",
    ),
    _relation(
        "remote work",
        "organisation",
        "Employees of {s} may work from home {a}.",
        """How many days a week can employees of {s} work from home?
        How many days per week may I work from home at {s}?
        How often can people at {s} work remotely?
        How many home office days does {s} allow?
        What is the remote work policy of {s}?
        If I work for {s}, how often may I stay at home?
        {s} home office days?
        How many remote days are there at {s}?""",
    ),
    _relation(
        "price",
        "product",
        "{s} costs {a}.\nThe price of {s} is {a}.",
        """How much does {s} cost?
        What is the price of {s}?
        How much is {s}?
        What do I pay for {s}?
        I would like to buy {s}. What will I pay?
        What does {s} cost?
        How expensive is {s}?
        {s} price?
        Is {s} free?""",
    ),
    _relation(
        "price per month",
        "product",
        "{s} costs {a} per month.\nThe monthly price of {s} is {a}.",
        """How much does {s} cost per month?
        What is the monthly price of {s}?
        What will I pay each month for {s}?
        How much is {s} a month?
        What is the monthly fee for {s}?
        I want {s}. How much do I pay monthly?
        {s} price per month?
        Is {s} free of charge?""",
    ),
    _relation(
        "abbreviation",
        "term",
        "{s} stands for {a}.\nThe abbreviation {s} means {a}.",
        """What does {s} stand for?
        What does the abbreviation {s} mean?
        What does {s} mean?
        What is {s} short for?
        What do we mean by {s}?
        What is the meaning of {s}?
        Spell out {s} for me.
        What is {s}?
        I see {s} in a report. What is that?
        {s} meaning?
        {s} in full?""",
    ),
    _relation(
        "schedule",
        "event",
        "{s} is on {a}.\n{s} takes place on {a}.",
        """When is {s}?
        On which day is {s}?
        What day is {s}?
        When does {s} take place?
        What day of the week does {s} happen?
        What time is {s}?
        At what time does {s} start?
        I want to join {s}. Which day is it?
        Is {s} on Monday?
        {s}: which day?""",
    ),
    _relation(
        "deadline",
        "event",
        "The deadline for {s} is {a}.",
        """When is the deadline for {s}?
        By when must {s} be done?
        When is {s} due?
        What is the due date of {s}?
        Until when can I hand in {s}?
        {s} deadline?
        What is the deadline for {s}?
        By what date is {s} due?
        When must {s} be handed in?
        What is the last day for {s}?
        How long do I have for {s}?""",
    ),
    _relation(
        "responsible",
        "task",
        "{a} runs {s}.\n{a} is responsible for {s}.",
        """Who runs {s}?
        Which team runs {s}?
        Who is responsible for {s}?
        Which team is responsible for {s}?
        Who takes care of {s}?
        Who handles {s}?
        Who staffs {s}?
        Who answers {s}?
        Which team answers {s}?
        Which team looks after {s}?
        Who do I talk to when I need {s}?
        I want to reach {s}. Which team is that?
        I have a question for {s}. Who will answer it?
        Somebody gets in touch with {s}. Which team replies?
        If I turn to {s}, whom do I reach?
        What is the name of the team behind {s}?
        Tell me who is in charge of {s}.
        Who should I call about {s}?
        Which team do I contact for {s}?
        {s} contact?""",
    ),
    _relation(
        "step before",
        "moment",
        "Before {s}, {a}.\nBefore {s}: {a}.",
        """What must I do before {s}?
        What do I have to do before {s}?
        What should I do before {s}?
        What do we do before {s}?
        What has to happen before {s}?
        What comes before {s}?
        What is the step before {s}?
        Which step comes first, before {s}?
        What is required before {s}?
        Before {s}, what do I do?
        What do I need to do first, before {s}?
        There is something to be done before {s}. What is it?
        Soon {s}. What comes first?
        Is there anything to do before {s}?""",
    ),
    _relation(
        "steps",
        "action",
        "To {s}, {a}.\nTo {s}: {a}.",
        """What are the steps to {s}?
        Which steps does it take to {s}?
        How do I {s}?
        How do we {s}?
        How should I {s}?
        What is the way to {s}?
        In which order do I {s}?
        What do I have to do to {s}?
        What is the procedure to {s}?
        I want to {s}. What do I do?
        Walk me through how to {s}.
        What comes first when I {s}?
        To {s}, what are the steps?""",
    ),
    _relation(
        "opens",
        "place organisation product",
        "{s} opens at {a}.",
        """When does {s} open?
        At what time does {s} open?
        From what time is {s} open?
        What time does {s} open its doors?
        How early can I go to {s}?
        I want to be at {s} early. When does it open?
        What is the opening time of {s}?
        {s} opening time?""",
    ),
    _relation(
        "closes",
        "place organisation product",
        "{s} closes at {a}.",
        """When does {s} close?
        At what time does {s} close?
        Until what time is {s} open?
        How late can I go to {s}?
        I am on my way to {s}. Until when is it open?
        What is the closing time of {s}?
        {s} closing time?""",
    ),
    _relation(
        "schedule duration",
        "event product",
        "{s} lasts {a}.",
        """How long is {s}?
        How long does {s} last?
        How long does {s} take?
        What is the length of {s}?
        What is the duration of {s}?
        For how long does {s} go on?
        How much time does {s} take?
        How much time should I plan for {s}?
        {s}: how long?""",
    ),
    _relation(
        "schedule frequency",
        "event",
        "{s} takes place {a}.",
        """How often is {s}?
        How often does {s} take place?
        How frequently is {s}?
        How frequently does {s} happen?
        How many times does {s} happen?
        At what interval is {s}?
        {s}: how often?""",
    ),
    _relation(
        "responsible approver",
        "activity",
        "{a} approves {s}.",
        """Who approves {s}?
        Who has to approve {s}?
        Who must approve {s}?
        Who signs off {s}?
        Whose approval do I need for {s}?
        I need approval for {s}. Whom do I ask?
        Who says yes or no to {s}?
        By whom is {s} approved?
        {s} approval?""",
    ),
    _relation(
        "tool",
        "activity",
        "We use {a} for {s}.",
        """Which tool do we use for {s}?
        What do we use for {s}?
        What tool is used for {s}?
        Which software is used for {s}?
        Which program do we use for {s}?
        What is {s} done with?
        I have to do {s}. Which tool do I take?
        What is our tool for {s}?
        {s} tool?""",
    ),
    _relation(
        "kept",
        "thing",
        "{s} can be found in {a}.",
        """Where do we keep {s}?
        Where is {s} kept?
        Where are {s} kept?
        Where do I find {s}?
        Where is {s} stored?
        Where are {s} stored?
        I am looking for {s}. Where should I look?
        In which place do we keep {s}?""",
    ),
    _relation(
        "staff",
        "organisation",
        "{s} has {a}.",
        """How many employees does {s} have?
        How many people work at {s}?
        How many people work for {s}?
        How many people does {s} employ?
        What is the number of employees at {s}?
        How big is the staff of {s}?
        {s} number of employees?""",
    ),
    _relation(
        "warranty",
        "product",
        "The warranty on {s} lasts {a}.",
        """How long is the warranty on {s}?
        How long is the warranty for {s}?
        How many years of warranty does {s} have?
        What warranty does {s} come with?
        For how long is {s} under warranty?
        I bought {s}. How long is it covered?
        {s} warranty?""",
    ),
)


# "What city …", "In what city …": "Which city …".
_VERBS = "is|are|was|were|does|do|did|has|have|can|must|should|will|comes|happens"
_WHAT = re.compile(rf"(?i)^((?:in|on|at|by|for|to|of|with|from|under|until) )?what (?=[a-z])(?!(?:{_VERBS})\b)")


@cache
def _patterns() -> tuple[tuple[int, re.Pattern[str], Relation], ...]:
    """All wordings as patterns with their lengths, the most specific (longest) first; past tense as present."""
    found = []
    for relation in RELATIONS:
        for ask in relation.asks:
            present = re.sub(r"^(What|Who|Where|When|Which) (?:was|were) ", r"\1 is ", _WHAT.sub(r"\1which ", ask))
            fixed = re.escape(present.rstrip("?.")).replace(re.escape("{s}"), r"(?P<s>.+?)", 1)
            found.append((len(present), re.compile(fixed + r"[?.!\s]*", re.IGNORECASE), relation))
    return tuple(sorted(found, key=lambda entry: -entry[0]))


def recognise(question: str) -> tuple[Relation, str] | None:
    """The relation that a question asks about, and the subject; None if no wording fits.

    Several relations share a wording ("Who runs …?"): a subject in small letters ("the support hotline")
    is a thing or a task, a capitalised one a person or an organisation.
    """
    question = re.sub(
        r"(?i)\b(what|who|where|when)['’]s\b", r"\1 is", question.replace("’", "'").strip()[:MAX_QUESTION]
    )
    question = re.sub(r"(?i)^(what|who|where|when|which) (?:was|were)\b", lambda m: f"{m[1]} is", question)
    question = _WHAT.sub(r"\1which ", question)
    best: tuple[int, Relation, str] | None = None
    for fixed, pattern, relation in _patterns():
        if best is not None and fixed < best[0]:
            break
        found = pattern.fullmatch(question)
        if found:
            subject = found["s"].strip()
            if _fits(relation, subject):
                return relation, subject
            if "term" not in relation.kinds:
                best = best or (fixed, relation, subject)
    if best is not None:
        return best[1], best[2]
    return _noun_relation(question)


_NOUN_OF = re.compile(
    r"(?:What|Which|Who) (?:is|are) (?:the )?(?:name of )?(?:the )?(?P<n>[a-z][a-z -]{1,40}?) "
    r"(?:of|for|at|in) (?P<s>.+?)[?.!\s]*"
)
_NOUNS = re.compile(r"(?:What|Which|Who) (?:is|are) (?P<s>[^?]+?)['’]s? (?P<n>[a-z][a-z -]{1,40}?)(?:'s name)?[?.!\s]*")


def _noun_relation(question: str) -> tuple[Relation, str] | None:
    """A relation made for "What is the N of S?" and "What is S's N?", whatever the noun."""
    found = _NOUN_OF.fullmatch(question) or _NOUNS.fullmatch(question)
    if not found:
        return None
    noun = found["n"]
    asks = tuple(ask.replace("{n}", noun) for ask in _NOUN_ASKS)
    return Relation(noun, ("organisation", "product"), asks, (f"The {noun} of {{s}} is {{a}}.",)), found["s"]


_NOUN_ASKS = _lines(
    """What is the {n} of {s}?
    What is {s}'s {n}?
    Tell me the {n} of {s}.
    Which {n} does {s} have?
    What {n} belongs to {s}?
    I need to know {s}'s {n}. What is it?
    For {s}, what is the {n}?
    Do you know the {n} of {s}?
    {s}: what {n}?
    {s} {n}?"""
)


def _fits(relation: Relation, subject: str) -> bool:
    if "term" in relation.kinds:
        return len(subject.split()) == 1
    words = subject.removeprefix("the ").removeprefix("The ").split()
    named = bool(words) and words[0][:1].isupper()
    return named or bool(
        {"task", "event", "product", "work", "term", "action", "moment", "activity", "thing"} & set(relation.kinds)
    )
