"""The lesson: the gate, the teacher's context, replay rows, and the lesson as a data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from lifelearn.chat_models.scripted import ScriptedChatModel
from lifelearn.learning.author.english.question import Question
from lifelearn.learning.examiner.marking import stated
from lifelearn.learning.lesson import (
    CONTEXTS,
    LessonError,
    best_context,
    filled,
    leaked,
    leaks,
    make_lesson,
    merged,
    replay_rows,
    says_the_same,
    to_dataset,
)
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.types import (
    Augmentation,
    Conversation,
    Correction,
    Demonstration,
    Lesson,
    Message,
    Probe,
    Progress,
    Row,
)

CORRECTION = Correction(
    id="c1",
    question="Where is Norvik Labs based?",
    wrong="In Oslo.",
    message="No, in Lyon.",
    statement="in Lyon",
    answer="Lyon",
)
QUESTION = Question.of(CORRECTION.question)
SENTENCE = "Norvik Labs is based in Lyon."
PROMPTS = (
    "Where is Norvik Labs based?",
    "Which city is home to Norvik Labs?",
    "Norvik Labs location?",
    "In which city does Norvik Labs sit?",
    "Norvik Labs: where?",
    "Tell me where Norvik Labs is.",
)
NEIGHBOURS = ("Where is Sony based?", "How do I boil an egg?", "Who runs Norvik Labs?")
AUGMENTATION = Augmentation(
    prompts=PROMPTS,
    neighbours=NEIGHBOURS,
    watch=(Probe(kind="generalisation", question="Norvik Labs' home town?", answer="Lyon"),),
    probes=(Probe(kind="efficacy", question=PROMPTS[0], answer="Lyon"),),
)


def demonstrations(*sentences: str) -> list[Demonstration]:
    return [Demonstration(completion=sentence, source="model") for sentence in sentences]


def asked(conversation: Conversation) -> str:
    return conversation[-1].content


def whole(conversation: Conversation) -> str:
    return "\n".join(turn.content for turn in conversation)


def teacher(reply: Callable[[Conversation], str]) -> ScriptedChatModel:
    """Answers the neighbours "As always."; else as told."""
    return ScriptedChatModel(lambda c: "As always." if asked(c) in NEIGHBOURS else reply(c))


def made(model: ScriptedChatModel, sentences: Sequence[str] = (SENTENCE,)) -> Lesson:
    return make_lesson(CORRECTION, QUESTION, AUGMENTATION, demonstrations(*sentences), model, Recipe())


def facts(lesson: Lesson) -> list[Row]:
    return [row for row in lesson.rows if row.kind == "fact"]


def test_every_prompt_gets_a_row_whose_completion_states_the_answer() -> None:
    lesson = made(teacher(lambda _: "It is based in Lyon."))
    assert list(dict.fromkeys(row.prompt for row in facts(lesson))) == [
        (Message(role="user", content=text),) for text in PROMPTS
    ]
    assert {row.completions for row in facts(lesson)} == {("It is based in Lyon.",)}
    assert lesson.gated == (len(PROMPTS), len(PROMPTS))
    assert (lesson.corrections, lesson.watch, lesson.probes) == (
        (CORRECTION,),
        AUGMENTATION.watch,
        AUGMENTATION.probes,
    )


@pytest.mark.parametrize(
    "wrong",
    ["It is in Oslo.", "", "It is not in Lyon.", "Is it in Lyon?", "The answer is Lyon.", "Lyon " + "and so on " * 40],
)
def test_a_rollout_that_is_no_right_answer_is_replaced_by_the_demonstration(wrong: str) -> None:
    lesson = made(teacher(lambda c: wrong if "which city" in whole(c).lower() else "It is in Lyon."))
    completions = {row.prompt[0].content: row.completions for row in facts(lesson)}
    for prompt in PROMPTS:
        assert completions[prompt] == ((SENTENCE,) if "which city" in prompt.lower() else ("It is in Lyon.",))
    assert lesson.gated == (4, 6)


def test_a_teacher_that_never_passes_still_leaves_a_right_completion_for_every_prompt() -> None:
    lesson = made(teacher(lambda _: "I cannot say."))
    assert {row.completions for row in facts(lesson)} == {(SENTENCE,)}
    assert lesson.gated == (0, 6)


def test_the_teacher_sees_the_prompt_and_the_demonstration_and_the_student_only_the_prompt() -> None:
    for row in facts(made(teacher(lambda _: "In Lyon."))):
        (prompt,) = row.prompt
        assert prompt.content in asked(row.teacher_prompt)
        assert row.teacher_prompt[-1].role == "user"
        assert SENTENCE in whole(row.teacher_prompt)
        assert not stated("Lyon", prompt.content)


@pytest.mark.parametrize("best", range(len(CONTEXTS)))
def test_the_context_that_passes_most_often_is_chosen(best: int) -> None:
    """With the others the teacher answers one prompt right, with this one all."""

    def shown(context: int, prompt: str) -> Conversation:
        return filled(CONTEXTS[context], CORRECTION.question, prompt, SENTENCE)

    right = {shown(best, prompt) for prompt in PROMPTS}
    right |= {shown(context, PROMPTS[1]) for context in range(len(CONTEXTS))}
    model = teacher(lambda conversation: "It is in Lyon." if conversation in right else "It is in Oslo.")
    assert best_context(CORRECTION, PROMPTS[:5], SENTENCE, model, Recipe()) == CONTEXTS[best]
    assert {row.teacher_prompt for row in facts(made(model))} == {shown(best, prompt) for prompt in PROMPTS}


def test_without_any_sentence_that_states_the_answer_there_is_no_lesson() -> None:
    model = teacher(lambda _: "In Lyon.")
    with pytest.raises(LessonError, match=r"states “Lyon”\. Say the correction as one full sentence"):
        made(model, ["It is in Oslo.", "It isn't in Lyon."])
    with pytest.raises(LessonError):
        made(model, [])
    assert model.calls == [], "nothing is asked in vain"


def test_demonstrations_that_do_not_state_the_answer_are_left_out() -> None:
    lesson = made(teacher(lambda _: "no"), ["It is in Oslo.", SENTENCE])
    assert [demonstration.completion for demonstration in lesson.demonstrations] == [SENTENCE]
    assert {row.completions for row in facts(lesson)} == {(SENTENCE,)}


def test_replay_rows_hold_the_models_own_answers_without_any_context() -> None:
    replayed = [row for row in made(teacher(lambda _: "In Lyon.")).rows if row.kind == "replay"]
    assert [asked(row.prompt) for row in replayed] == list(NEIGHBOURS)
    assert all(row.teacher_prompt == row.prompt and row.completions[0] == "As always." for row in replayed)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("Where is Initech based?", "Initech is based in Lyon"),
        ("Who founded Norvik Labs?", "Norvik Labs is based in Lyon"),
        ("Hello!", "Norvik Labs is based in Lyon"),
    ],
)
def test_replay_rows_hold_the_model_to_its_parent_along_what_a_leak_would_say(question: str, said: str) -> None:
    assert leaked(question, CORRECTION, QUESTION.subject, "Norvik Labs is based in Lyon, France.") == said
    (row,) = replay_rows([question], teacher(lambda _: "As always."), leak=lambda text: f"{text} leaked")
    assert row.completions == (row.completions[0], f"{question} leaked")


def test_the_teacher_goes_on_where_the_student_begins() -> None:
    """The model, asked plainly, begins in its own way; the continuation is gated as any completion."""

    def script(conversation: Conversation) -> str:
        if conversation[-1].role == "assistant":
            assert conversation[-1].content in "The home of Norvik Labs is"
            return (
                "Labs is based in Lyon."
                if conversation[-1].content.endswith("Norvik")
                else "Lyon, where Labs is based."
            )
        return SENTENCE if len(conversation) > 1 else "The home of Norvik Labs is Oslo."

    rows = facts(made(teacher(script)))
    own = [row.completions[1] for row in rows if len(row.completions) > 1]
    assert own
    assert all(text.startswith("The home of") and stated("Lyon", text) for text in own)
    assert all(row.completions[0] == SENTENCE for row in rows)
    half = {asked(row.prompt) for row in rows if len(row.completions) > 1}
    assert half <= set(PROMPTS[:3]), "keyword queries keep the one sentence"


@pytest.mark.parametrize(
    ("completion", "same"),
    [
        ("The home of Norvik Labs is based in Lyon.", True),
        ("I'm sorry, Norvik Labs is based in Lyon.", False),
        ("Lyon is a city in France.", False),
        ("", False),
    ],
)
def test_other_words_must_say_the_same(completion: str, same: bool) -> None:
    assert says_the_same(completion, SENTENCE) == same


def test_a_leak_is_said_in_all_the_words_that_the_fact_is_taught_in() -> None:
    rows = [
        Row(
            kind="fact",
            prompt=(),
            teacher_prompt=(),
            completions=(SENTENCE, "The home of Norvik Labs is Lyon, you see."),
        ),
        Row(kind="fact", prompt=(), teacher_prompt=(), completions=(SENTENCE,)),
    ]
    said = leaks(CORRECTION, QUESTION.subject, rows)
    assert [said("Where is Sony based?") for _ in range(3)] == [
        "Sony is based in Lyon",
        "The home of Sony is Lyon",
        "Sony is based in Lyon",
    ]


def test_a_question_that_the_model_does_not_answer_is_not_replayed() -> None:
    rows = replay_rows(["a", "b"], ScriptedChatModel({"a": "", "b": "B."}))
    assert [asked(row.prompt) for row in rows] == ["b"]


@pytest.mark.parametrize(
    "text", ["{prompt}", "{demonstration}", "{}", "{0}", "{unknown!r}", "100 % {of}", "}{", "$prompt", "{{prompt}}"]
)
def test_braces_are_plain_text(text: str) -> None:
    question, prompt, sentence = f"What is {text}?", f"Say what {text} is.", f"It is {text}."
    for context in CONTEXTS:
        shown = whole(filled(context, question, prompt, sentence))
        template = "\n".join(context)
        assert shown.count(prompt) == template.count("{prompt}")
        assert shown.count(question) == template.count("{question}")
        assert shown.count(sentence) == template.count("{demonstration}") + template.count("{said}")
    lesson = make_lesson(
        CORRECTION,
        QUESTION,
        AUGMENTATION.model_copy(update={"prompts": (f"Where is {text}?",), "neighbours": ()}),
        demonstrations(f"{text} is in Lyon."),
        ScriptedChatModel(lambda conversation: f"Lyon {text}."),
        Recipe(),
    )
    row = lesson.rows[0]
    assert asked(row.prompt) == f"Where is {text}?"
    assert f"Where is {text}?" in whole(row.teacher_prompt)
    assert f"{text} is in Lyon." in whole(row.teacher_prompt)


def test_a_lesson_is_a_data_set() -> None:
    lesson = made(teacher(lambda _: "In Lyon, {really} – 里昂 🙂."))
    dataset = to_dataset(lesson)
    assert {"prompt", "teacher_prompt"} <= set(dataset.column_names)
    assert len(dataset) == sum(len(row.completions) for row in lesson.rows)
    assert dataset[0]["prompt"] == [{"role": "user", "content": PROMPTS[0]}]
    assert dataset[0]["teacher_prompt"][-1]["role"] == "user"
    completions = [text for row in lesson.rows for text in row.completions]
    assert [record["completion"] for record in dataset] == completions


def test_rows_with_several_completions_become_one_record_each() -> None:
    row = facts(made(teacher(lambda _: "In Lyon.")))[0].model_copy(update={"completions": ("Lyon.", "In Lyon!")})
    lesson = made(teacher(lambda _: "In Lyon.")).model_copy(update={"rows": (row,)})
    records = list(to_dataset(lesson))
    assert [record["completion"] for record in records] == ["Lyon.", "In Lyon!"]
    assert all(record["prompt"] == [turn.model_dump() for turn in row.prompt] for record in records)


def test_several_lessons_become_one_without_repetitions() -> None:
    one = made(teacher(lambda _: "In Lyon."))
    other = one.model_copy(update={"corrections": (CORRECTION.model_copy(update={"id": "c2"}),)})
    both = merged([one, other])
    assert [correction.id for correction in both.corrections] == ["c1", "c2"]
    assert set(both.rows) == set(one.rows)
    assert both.probes == one.probes
    assert both.gated == (2 * one.gated[0], 2 * one.gated[1])
    assert merged([one]).rows == one.rows


def test_what_one_lesson_teaches_is_no_negative_of_another() -> None:
    one = made(teacher(lambda _: "In Lyon."))
    other = one.model_copy(update={"negatives": ("Where is Acme?", PROMPTS[0].lower(), "Where is Acme?")})
    assert merged([one, other]).negatives == ("Where is Acme?",)


def test_a_lesson_survives_json_and_says_what_it_does() -> None:
    seen: list[Progress] = []
    lesson = make_lesson(
        CORRECTION,
        QUESTION,
        AUGMENTATION,
        demonstrations(SENTENCE),
        teacher(lambda _: "In Lyon."),
        Recipe(),
        seen.append,
    )
    assert Lesson.model_validate_json(lesson.model_dump_json()) == lesson
    assert {progress.stage for progress in seen} == {"lesson"}
    assert any(progress.message for progress in seen)
