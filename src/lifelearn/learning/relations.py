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
    contest, species, term, task ("the canteen"), activity ("travel bookings"), thing ("the spare keys"), action ("book
    a room"), moment ("I leave the office").
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
        If I visit {s}, which city do I travel to?
        Which city hosts the headquarters of {s}?
        Which city houses the head office of {s}?""",
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
        {s} nationality?
        {s} is a citizen of which country?
        Which country is {s} a national of?""",
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
        Whose shirt does {s} wear?
        What team is {s} associated with?
        What team is {s} connected to?
        Which team did {s} belong to?
        What team did {s} play for?""",
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
        Which language is {s} a native speaker of?
        Which language did {s} speak natively?
        What language does {s} speak natively?
        What language is {s} a speaker of?
        Which language does {s} natively speak?
        {s} spoke which language at home?""",
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
        {s} comes from the pen of whom?
        Who is the author of the book {s}?
        Who is the author of the song {s}?""",
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
        {s} singer?
        Which performer released the album {s}?
        Which artist released {s}?
        Who released the song {s}?
        Who did the original {s}?
        Which singer recorded {s}?
        Who is the artist behind {s}?""",
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
        What station did {s} run on?
        Which was the network that originally hosted {s}?
        What original network is {s} on?
        What network originally aired {s}?
        On what network was {s} first shown?
        {s} debuted on which channel?""",
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
        {s} maker?
        Which company created {s}?
        Who developed {s}?
        What company is behind {s}?
        Which company developed {s}?
        {s} was developed by whom?""",
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
        "family",
        "person species",
        "{s} belongs to the {a} family.\nThe family of {s} is {a}.",
        """Which family does {s} belong to?
        What family is {s} part of?
        What was the family of {s}?
        Which family is {s} from?
        What noble family was {s} from?
        What noble family was {s} part of?
        Which dynasty does {s} belong to?
        To which family does {s} belong?
        Of which family is {s} a member?
        Which family is {s}?
        {s} family?""",
    ),
    _relation(
        "genus",
        "species",
        "{s} is in the genus {a}.",
        """What genus does {s} belong to?
        In which genus is {s}?
        Which genus is {s} part of?
        To which genus does {s} belong?
        What is the genus of {s}?
        {s} is a species of which genus?
        {s} genus?""",
    ),
    _relation(
        "voice type",
        "person",
        "{s} is a {a}.\nThe voice type of {s} is {a}.",
        """What voice type is {s}?
        What is {s}'s voice type?
        What kind of voice does {s} have?
        Which vocal range does {s} have?
        What type of singer is {s}?
        In which voice does {s} sing?
        What tone does {s} sing in?
        As what voice is {s} known?
        {s} voice?""",
    ),
    _relation(
        "political party",
        "person",
        "{s} is a member of the {a}.",
        """Which political party does {s} belong to?
        What party is {s} a member of?
        What is {s}'s political party?
        Which party does {s} represent?
        For which party does {s} stand?
        Of which party is {s} a member?
        What is the political affiliation of {s}?
        {s} party?""",
    ),
    _relation(
        "member of",
        "person organisation",
        "{s} is a member of {a}.\n{s} belongs to {a}.",
        """What is {s} a member of?
        What group is {s} a member of?
        Which organisation is {s} part of?
        Which band is {s} in?
        What is {s} affiliated with?
        What is {s} part of?
        Which association does {s} belong to?
        {s} is a member of which group?
        Of what is {s} a member?""",
    ),
    _relation(
        "military branch",
        "person",
        "{s} served in the {a}.",
        """Which branch of the military did {s} serve in?
        What branch of the armed forces did {s} belong to?
        In which military force did {s} serve?
        Which armed service was {s} in?
        What was {s}'s military branch?
        {s} served in which branch of the military?
        What part of the military was {s} in?""",
    ),
    _relation(
        "cause of death",
        "person",
        "{s} died of {a}.\nThe cause of death of {s} was {a}.",
        """What did {s} die of?
        What did {s} die from?
        How did {s} die?
        What was the cause of death of {s}?
        What was {s}'s cause of death?
        What killed {s}?
        From what did {s} die?
        What caused {s}'s death?
        What led to the death of {s}?
        {s} cause of death?""",
    ),
    _relation(
        "illness",
        "person",
        "{s} suffered from {a}.",
        """What illness did {s} have?
        What disease did {s} have?
        From which disease did {s} suffer?
        What was {s} diagnosed with?
        Which medical condition did {s} have?
        What disorder was {s} afflicted with?
        What did {s} suffer from?
        {s} disease?""",
    ),
    _relation(
        "burial place",
        "person",
        "{s} is buried in {a}.",
        """Where is {s} buried?
        What is the burial place of {s}?
        Where is the grave of {s}?
        In which place was {s} buried?
        Where was {s} laid to rest?
        Which cemetery is {s} in?
        {s} grave?""",
    ),
    _relation(
        "award",
        "person work",
        "{s} received the {a}.\n{s} won the {a}.",
        """What award did {s} receive?
        Which award did {s} win?
        What prize was {s} given?
        What honour did {s} receive?
        Which prize did {s} get?
        What award has {s} been given?
        With which award was {s} honoured?
        {s} won which award?
        {s} award?""",
    ),
    _relation(
        "residence",
        "person",
        "{s} lives in {a}.",
        """Where does {s} live?
        What is the residence of {s}?
        Which city does {s} live in?
        In which place does {s} reside?
        What is {s}'s place of residence?
        Where is {s}'s home?
        In which town is {s} at home?
        {s} residence?""",
    ),
    _relation(
        "workplace",
        "person",
        "{s} worked in {a}.",
        """Where did {s} work?
        In which city did {s} work?
        What city did {s} work in?
        Where was {s} employed?
        In which town was {s} active?
        {s} worked in which city?
        {s} found employment in which place?""",
    ),
    _relation(
        "teacher",
        "person",
        "{s} was a student of {a}.",
        """Who was the teacher of {s}?
        Who taught {s}?
        Whose student was {s}?
        Who was {s}'s advisor?
        Who was {s}'s doctoral advisor?
        Under whom did {s} study?
        Who was the mentor of {s}?
        By whom was {s} taught?
        {s} was a student of whom?""",
    ),
    _relation(
        "gender",
        "person",
        "{s} is {a}.",
        """What is the gender of {s}?
        What gender is {s}?
        What sex is {s}?
        What is {s}'s sex?
        Of which gender is {s}?
        {s} is of which gender?
        {s} gender?""",
    ),
    _relation(
        "league",
        "person organisation",
        "{s} plays in the {a}.",
        """What league does {s} play in?
        Which league is {s} in?
        What league was {s} in?
        In which league does {s} compete?
        What sports league did {s} play for?
        {s} belongs to which league?
        To which league does {s} belong?
        {s} league?""",
    ),
    _relation(
        "draft",
        "person",
        "{s} was drafted by {a}.",
        """Which team drafted {s}?
        Who drafted {s}?
        By which team was {s} drafted?
        What team drafted {s}?
        Which club picked {s} in the draft?
        {s} was drafted by whom?""",
    ),
    _relation(
        "production company",
        "work",
        "{s} was produced by {a}.\nThe production company of {s} is {a}.",
        """What studio produced {s}?
        Which company produced {s}?
        What was the production company of {s}?
        Which production company made {s}?
        What was the name of the production company for {s}?
        What film company produced {s}?
        By which studio was {s} made?
        Which production company is involved with {s}?
        {s} studio?""",
    ),
    _relation(
        "producer",
        "work",
        "{s} was produced by {a}.\nThe producer of {s} is {a}.",
        """Who produced {s}?
        Who was the producer of {s}?
        Who is the producer of {s}?
        What is the name of the producer of {s}?
        By whom was {s} produced?
        Which producer made {s}?
        {s} producer?""",
    ),
    _relation(
        "screenwriter",
        "work",
        "{s} was written by {a}.\nThe screenwriter of {s} is {a}.",
        """Who wrote the screenplay of {s}?
        Who was the screenwriter of {s}?
        Who wrote the script of {s}?
        Who is credited with the screenplay for {s}?
        Which screenwriter wrote {s}?
        By whom is the screenplay of {s}?
        {s} screenwriter?""",
    ),
    _relation(
        "composer",
        "work",
        "The music of {s} is by {a}.\nThe composer of {s} is {a}.",
        """Who composed {s}?
        Who wrote the music of {s}?
        Who is the composer of {s}?
        Which composer wrote {s}?
        By whom was {s} composed?
        Who composed the music for {s}?
        Who did the score for {s}?
        Which musician composed {s}?
        {s} composer?""",
    ),
    _relation(
        "cast",
        "work",
        "{s} stars {a}.",
        """Who starred in {s}?
        Who stars in {s}?
        Which actor starred in {s}?
        Who was the star of {s}?
        Who acted in {s}?
        Who appeared in {s}?
        Which actors are in {s}?
        Who are the actors of {s}?
        Which cast members appear in {s}?
        {s} cast?""",
    ),
    _relation(
        "character",
        "work",
        "A character of {s} is {a}.",
        """Which character appears in {s}?
        What character was in {s}?
        Who is a character in {s}?
        What is the name of the character in {s}?
        Which character does {s} have?
        {s} character?""",
    ),
    _relation(
        "series",
        "work",
        "{s} is part of the series {a}.\n{s} belongs to {a}.",
        """Which series was {s} in?
        What series is {s} part of?
        Which series does {s} belong to?
        What series is {s} from?
        In which series is {s}?
        Of which series is {s} a part?
        To which series does {s} belong?
        {s} is an episode of which series?
        {s} series?""",
    ),
    _relation(
        "setting",
        "work",
        "{s} is set in {a}.",
        """Where is {s} set?
        In which place is {s} set?
        What is the setting of {s}?
        Where does the story of {s} happen?
        What place is the scene of {s}?
        {s} setting?""",
    ),
    _relation(
        "based on",
        "work product",
        "{s} is based on {a}.",
        """What is {s} based on?
        Upon what is {s} based?
        On what is {s} based?
        What was the basis of {s}?
        What was the inspiration for {s}?
        What is {s} an adaptation of?
        {s} is based on what?""",
    ),
    _relation(
        "platform",
        "work product",
        "{s} runs on {a}.",
        """What platform is {s} for?
        On which platform can I play {s}?
        On what system does {s} run?
        What devices does {s} run on?
        Which computer is {s} made for?
        For which platform was {s} released?
        On which platform is {s} available?
        {s} platform?""",
    ),
    _relation(
        "continent",
        "place",
        "{s} is located in {a}.",
        """Which continent is {s} on?
        On which continent is {s}?
        What continent is {s} in?
        What continent does {s} belong to?
        {s} belongs to which continent?
        {s} is part of which continent?
        {s} continent?""",
    ),
    _relation(
        "currency",
        "place",
        "The currency of {s} is the {a}.",
        """What is the currency of {s}?
        Which currency is used in {s}?
        What money do people use in {s}?
        With what does one pay in {s}?
        What currency does {s} have?
        Which money do I need in {s}?
        {s} currency?""",
    ),
    _relation(
        "population",
        "place",
        "{s} has {a} inhabitants.\nThe population of {s} is {a}.",
        """What is the population of {s}?
        How many people live in {s}?
        How many inhabitants does {s} have?
        How big is the population of {s}?
        What is the number of inhabitants of {s}?
        How many people are there in {s}?
        {s} population?""",
    ),
    _relation(
        "water",
        "place",
        "{s} is on the {a}.\n{s} lies on the {a}.",
        """Which body of water is {s} on?
        Which river is {s} on?
        What river does {s} cross?
        What is the body of water by {s}?
        Over which river does {s} go?
        On which lake is {s}?
        Next to which water is {s}?
        Which river runs by {s}?
        {s} river?""",
    ),
    _relation(
        "part of",
        "place product",
        "{s} is part of {a}.",
        """Of what is {s} a part?
        What larger thing is {s} part of?
        {s} belongs to what?
        What has {s} as a part?
        {s} is a part of what?""",
    ),
    _relation(
        "height",
        "place product",
        "{s} is {a} tall.\nThe height of {s} is {a}.",
        """How tall is {s}?
        How high is {s}?
        What is the height of {s}?
        What height does {s} have?
        What does {s} measure from bottom to top?
        {s} height?""",
    ),
    _relation(
        "length",
        "place product",
        "{s} is {a} long.\nThe length of {s} is {a}.",
        """What length does {s} have?
        How many kilometres long is {s}?
        How many metres long is {s}?
        How far does {s} run?
        What is the total length of {s}?
        {s} length?""",
    ),
    _relation(
        "constellation",
        "place",
        "{s} is in the constellation {a}.\nThe constellation of {s} is {a}.",
        """Which constellation is {s} in?
        What is the constellation of {s}?
        In which constellation is {s}?
        What constellation does {s} belong to?
        What is the constellation that {s} is a part of?
        What is the constellation that is made with {s}?
        What is the constellation created by {s}?
        What constellation is home to {s}?
        {s} is part of which constellation?
        {s} constellation?""",
    ),
    _relation(
        "named after",
        "place organisation product",
        "{s} is named after {a}.",
        """After whom is {s} named?
        Who is {s} named after?
        What is {s} named after?
        Whom was {s} named for?
        Where does the name of {s} come from?
        Who was the namesake of {s}?
        Who is the namesake of {s}?
        {s} named after whom?""",
    ),
    _relation(
        "architect",
        "place",
        "{s} was designed by {a}.\nThe architect of {s} was {a}.",
        """Who was the architect of {s}?
        Which architect designed {s}?
        Who drew the plans of {s}?
        Who is the architect for {s}?
        By which architect is {s}?
        What is the name of the architect of {s}?
        {s} architect?""",
    ),
    _relation(
        "designer",
        "product work place",
        "{s} was designed by {a}.\nThe designer of {s} is {a}.",
        """Who designed {s}?
        Who is the designer of {s}?
        Who was the designer of {s}?
        By whom was {s} designed?
        Which designer made {s}?
        Whose design is {s}?
        Which person designed {s}?
        {s} designer?""",
    ),
    _relation(
        "inventor",
        "product place",
        "{s} was discovered by {a}.\n{s} was invented by {a}.",
        """Who invented {s}?
        Who discovered {s}?
        Who was the discoverer of {s}?
        Who was the inventor of {s}?
        By whom was {s} discovered?
        By whom was {s} invented?
        To whom do we owe {s}?
        Who is credited with the discovery of {s}?
        What is the name of the person who discovered {s}?""",
    ),
    _relation(
        "operator",
        "product place organisation",
        "{s} is operated by {a}.",
        """Who operates {s}?
        Which company operates {s}?
        Who is the operator of {s}?
        By whom is {s} operated?
        What airline operates {s}?
        What service operates {s}?
        {s} operator?""",
    ),
    _relation(
        "material",
        "product thing place",
        "{s} is made of {a}.",
        """What is {s} made of?
        What material is {s} made of?
        Of which material is {s}?
        From what is {s} made?
        What was used to make {s}?
        What does {s} consist of?
        Which material was used for {s}?
        {s} material?""",
    ),
    _relation(
        "stadium",
        "organisation",
        "{s} plays at {a}.\nThe home of {s} is {a}.",
        """Where does {s} play its home games?
        What is the home venue of {s}?
        What is the home stadium of {s}?
        Which stadium does {s} play in?
        In which arena is {s} at home?
        What is the name of the stadium of {s}?
        {s} stadium?""",
    ),
    _relation(
        "hub",
        "organisation",
        "The hub of {s} is {a}.",
        """What is the hub of {s}?
        Which airport is the hub of {s}?
        What airport is {s} based at?
        Which airport does {s} operate from?
        What is the main airport of {s}?
        At which airport is {s} at home?
        {s} is most associated with which airport?
        {s} hub?""",
    ),
    _relation(
        "industry",
        "organisation",
        "{s} works in {a}.\nThe industry of {s} is {a}.",
        """What industry is {s} in?
        Which industry does {s} belong to?
        In which industry does {s} work?
        What business is {s} in?
        In which sector is {s}?
        What is {s} active in?
        {s} industry?""",
    ),
    _relation(
        "products",
        "organisation",
        "{s} makes {a}.",
        """What does {s} make?
        What does {s} produce?
        What products does {s} make?
        Which product does {s} sell?
        What is the product of {s}?
        What is {s} known for making?
        What does {s} manufacture?
        {s} products?""",
    ),
    _relation(
        "stock exchange",
        "organisation",
        "{s} is listed on the {a}.",
        """On which stock exchange is {s} listed?
        Which stock exchange is {s} on?
        What exchange lists {s}?
        Where are {s}'s shares traded?
        On which exchange do I find {s}?
        {s} stock exchange?""",
    ),
    _relation(
        "formed in",
        "organisation",
        "{s} was formed in {a}.\n{s} is from {a}.",
        """What city is the band {s} from?
        Where was {s} founded?
        In which city was {s} formed?
        In which city was {s} founded?
        Where did {s} start out?
        What is the city of origin of {s}?
        In which place did the formation of {s} happen?
        {s} was formed in which city?""",
    ),
    _relation(
        "dissolved",
        "organisation place",
        "{s} ended in {a}.\n{s} was dissolved in {a}.",
        """When was {s} dissolved?
        When did {s} end?
        When did {s} cease to exist?
        In which year was {s} abolished?
        What year was the end of {s}?
        Which year was the end of {s}?
        In which year did {s} close down?
        When was {s} closed?
        In which year did {s} come to an end?
        Until when did {s} exist?
        {s} end year?""",
    ),
    _relation(
        "event date",
        "event contest",
        "{s} took place on {a}.\n{s} was on {a}.",
        """When did {s} happen?
        When did {s} take place?
        On which date did {s} occur?
        What was the date of {s}?
        On which day was {s}?
        Which year did {s} occur in?
        In which year was {s}?
        {s} date?""",
    ),
    _relation(
        "venue",
        "event contest",
        "{s} was held in {a}.\n{s} took place in {a}.",
        """Where was {s} held?
        Where did {s} take place?
        Where did {s} happen?
        Where was {s} hosted?
        In which place was {s} held?
        In which location did {s} take place?
        What was the venue of {s}?
        What was the location where {s} was held?
        Which place hosted {s}?
        Which venue was {s} held at?
        {s} was held where?
        {s} venue?""",
    ),
    _relation(
        "organiser",
        "event contest",
        "{s} is organised by {a}.\nThe organiser of {s} is {a}.",
        """Who organises {s}?
        Who is the organiser of {s}?
        Who arranges {s}?
        By whom is {s} organised?
        Who plans {s}?
        Which person or team organises {s}?
        {s} organiser?""",
    ),
    _relation(
        "participants",
        "event contest",
        "{a} take part in {s}.\nThe participants of {s} are {a}.",
        """Who takes part in {s}?
        Who attends {s}?
        Who is invited to {s}?
        Who comes to {s}?
        Who are the participants of {s}?
        Which people join {s}?
        {s} participants?""",
    ),
    _relation(
        "purpose",
        "event task activity thing",
        "The purpose of {s} is {a}.\n{s} is for {a}.",
        """What is the purpose of {s}?
        What is {s} for?
        Why do we have {s}?
        What do we use {s} for?
        What is the point of {s}?
        What is the use of {s}?
        {s} purpose?""",
    ),
    _relation(
        "winner",
        "contest",
        "{s} was won by {a}.\nThe winner of {s} was {a}.",
        """Who won {s}?
        Who was the winner of {s}?
        Which team won {s}?
        By whom was {s} won?
        Who came first in {s}?
        Who took the title in {s}?
        {s} winner?""",
    ),
    _relation(
        "refund period",
        "organisation product",
        "Customers of {s} can return goods within {a}.\nThe return period of {s} is {a}.",
        """How long do customers of {s} have to return goods?
        What is the return period of {s}?
        How many days do I have to return something to {s}?
        Within what time can I send something back to {s}?
        How long can customers get their money back from {s}?
        What is {s}'s refund window?
        I bought something from {s}. How long can I return it?
        {s} returns: how long?""",
    ),
    _relation(
        "delivery time",
        "organisation product",
        "{s} delivers within {a}.\nThe delivery time of {s} is {a}.",
        """How long does delivery from {s} take?
        How long does shipping take with {s}?
        What is the delivery time of {s}?
        How fast does {s} deliver?
        When will an order from {s} arrive?
        How many days does {s} need to deliver?
        I ordered from {s}. How long do I wait?
        {s} delivery time?""",
    ),
    _relation(
        "trial",
        "product",
        "The free trial of {s} lasts {a}.",
        """How long is the free trial of {s}?
        How long can I try {s} for free?
        How many days does the trial of {s} last?
        For how long is {s} free at first?
        What is the length of {s}'s trial period?
        When do I have to start paying for {s}?
        I am trying {s}. How long is it free?
        {s} trial length?""",
    ),
    _relation(
        "storage",
        "product",
        "{s} includes {a} of storage.",
        """How much storage does {s} include?
        How much storage comes with {s}?
        How much space do I get with {s}?
        What is the storage limit of {s}?
        How many gigabytes does {s} have?
        How much can I store with {s}?
        I use {s}. How much space do I have?
        {s} storage?""",
    ),
    _relation(
        "contact",
        "organisation product task",
        "The contact for {s} is {a}.",
        """Whom do I contact about {s}?
        Who is the contact for {s}?
        Who is the contact person for {s}?
        To whom do I turn with questions about {s}?
        Whom should I ask about {s}?
        Who can help me with {s}?
        I have a problem with {s}. Whom do I call?""",
    ),
    _relation(
        "expense limit",
        "organisation",
        "Employees of {s} may spend {a} without approval.\nThe expense limit at {s} is {a}.",
        """What is the expense limit at {s}?
        How much may employees of {s} spend without approval?
        Up to what amount can I buy something at {s} without asking?
        From which amount do purchases at {s} need approval?
        What is {s}'s spending limit?
        How much can I spend at {s} by myself?
        {s} expense limit?""",
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


# Relations that often have one answer: a question of one is no question with another answer for the others.
RELATED: tuple[frozenset[str], ...] = tuple(
    frozenset(line.split(", "))
    for line in (
        "headquarters, location, formed in",
        "location, venue, water, state, country, continent, part of",
        "country, citizenship",
        "residence, workplace",
        "deathplace, burial place",
        "author, screenwriter, composer, performer",
        "actor, cast, character, performer",
        "production company, producer, network, record label, publisher",
        "manufacturer, designer, inventor, operator, owner, products, publisher",
        "architect, designer",
        "employer, member of, military branch, political party",
        "sport team, member of, league, draft",
        "profession, field",
        "sport, league",
        "series, part of, based on",
        "native language, place language, work language",
        "release date, event date, founded, schedule, deadline",
        "responsible, responsible approver, contact, leader, operator",
        "cause of death, illness",
        "founder, leader, owner",
        "industry, products",
    )
)


def are_related(one: Relation, other: Relation) -> bool:
    """Whether two relations may have the same answer: the same, by name or by its first word, or often so."""
    return one.name.split()[0] == other.name.split()[0] or any({one.name, other.name} <= group for group in RELATED)


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
        if found and not (found.end("s") == len(question.rstrip("?.! ")) and _CLAUSE.fullmatch(found["s"])):
            subject = found["s"].strip()
            if _fits(relation, subject):
                return relation, subject
            if "term" not in relation.kinds:
                best = best or (fixed, relation, subject)
    if best is not None:
        return best[1], best[2]
    return _noun_relation(question)


# "Where was the first lighthouse built?" does not ask where a "first lighthouse built" is.
_CLAUSE = re.compile(
    r".+ (?:[a-z]{3,}(?<!e)ed|born|built|made|held|set|sold|kept|found|sung|shot|led|won|paid|sent|taught)[?.!\s]*"
)
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
    known = next((each for each in RELATIONS if each.name == noun), None)
    kinds, more = (known.kinds, known.asks) if known else (("organisation", "product"), ())
    asks = (*(ask.replace("{n}", noun) for ask in _NOUN_ASKS), *more)
    return Relation(noun, kinds, asks, (f"The {noun} of {{s}} is {{a}}.",)), found["s"]


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
        {"task", "event", "contest", "product", "work", "term", "action", "moment", "activity", "thing"}
        & set(relation.kinds)
    )
