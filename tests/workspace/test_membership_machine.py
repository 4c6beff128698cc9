"""Anybody does anything with invites, roles and memberships, in any order: there is always an owner.

What should happen is worked out beside it, in a few lines and without a database, and compared after each step.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from lifelearn.workspace.errors import ConflictError
from lifelearn.workspace.organizations import inviting, membership
from lifelearn.workspace.tables.accounts import User
from lifelearn.workspace.tables.organizations import Membership, Organization
from workspace.fakes import BOTH, Browser, Workspace
from workspace.organizations import request_to

pytestmark = pytest.mark.check("programs")

ROLES = ("member", "admin", "owner")
RANK = {role: rank for rank, role in enumerate(ROLES)}
NAMES = ("anna", "bert", "carl", "dora")
people, places, roles = st.sampled_from(NAMES), st.integers(0, 1), st.sampled_from(ROLES)


def machine(workspace: Workspace) -> type[RuleBasedStateMachine]:
    class MembershipMachine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.run = uuid.uuid4().hex[:8]
            self.people: dict[str, Browser] = {}
            self.ids: list[uuid.UUID] = []
            self.members: list[dict[str, str]] = []  # what should be: by organisation, roles by name
            self.invites: list[dict[str, Any]] = []

        @initialize()
        def start(self) -> None:
            for name in NAMES:
                self.people[name] = workspace.person(f"{name}-{self.run}@example.org")
            anna, bert, carl = (self.people[name] for name in NAMES[:3])
            self.ids = [
                workspace.organization(anna, "A", admin=[bert]),
                workspace.organization(bert, "B", member=[carl]),
            ]
            self.members = [{"anna": "owner", "bert": "admin"}, {"bert": "owner", "carl": "member"}]
            for by, place, role in (("anna", 0, "owner"), ("bert", 0, "admin"), ("bert", 1, "owner")):
                self.invite(by, place, "dora" if by == "bert" else "carl", role)

        def may(self, name: str, place: int, role: str) -> int | None:
            """How a request is refused for want of a role; None where it is not."""
            if name not in self.members[place]:
                return 404
            return None if RANK[self.members[place][name]] >= RANK[role] else 403

        def is_last_owner(self, name: str, place: int) -> bool:
            return [each for each, role in self.members[place].items() if role == "owner"] == [name]

        def ends(self, name: str, place: int, now: str = "member") -> None:
            """Ends the invites that `name` made and could not make any more."""
            for each in self.invites:
                above = now == "member" or RANK[each["role"]] > RANK[now]
                if each["open"] and each["by"] == name and each["place"] == place and above:
                    each["open"] = False
                    assert workspace.visitor().get(each["link"]).status_code == 404

        @rule(by=people, place=places, whom=people, role=roles)
        def invite(self, by: str, place: int, whom: str, role: str) -> None:
            expected = self.may(by, place, "admin")
            if expected is None and RANK[role] > RANK[self.members[place][by]]:
                expected = 403
            taken = any(each["open"] and each["place"] == place and each["whom"] == whom for each in self.invites)
            if expected is None and (whom in self.members[place] or taken):
                expected = 422
            form = {"email": self.people[whom].email, "role": role}
            answer = self.people[by].post(f"/o/{self.ids[place]}/invites", form)
            assert answer.status_code == (expected or 200)
            if expected is None:
                (link,) = set(re.findall(r"http://testserver(/invites/[\w-]+)", answer.text))
                self.invites.append({"by": by, "place": place, "whom": whom, "role": role, "link": link, "open": True})

        @rule(place=places, whom=people, role=roles, data=st.data())
        def invite_by_who_may(self, place: int, whom: str, role: str, data: st.DataObject) -> None:
            """As above, but mostly allowed, so that organisations fill."""
            may = [name for name, has in self.members[place].items() if has != "member"]
            self.invite(data.draw(st.sampled_from(may)), place, whom, role)

        @precondition(lambda self: self.invites)
        @rule(by=people, data=st.data())
        def accept(self, by: str, data: st.DataObject) -> None:
            invite = data.draw(st.sampled_from(self.invites))
            expected = 404 if not invite["open"] else 403 if invite["whom"] != by else 303
            assert self.people[by].post(invite["link"]).status_code == expected
            if expected == 303:
                invite["open"] = False
                self.members[invite["place"]].setdefault(by, invite["role"])

        @precondition(lambda self: any(each["open"] for each in self.invites))
        @rule(data=st.data())
        def accept_as_invited(self, data: st.DataObject) -> None:
            invite = data.draw(st.sampled_from([each for each in self.invites if each["open"]]))
            assert self.people[invite["whom"]].post(invite["link"]).status_code == 303
            invite["open"] = False
            self.members[invite["place"]].setdefault(invite["whom"], invite["role"])

        @rule(by=people, place=places, whom=people, role=roles)
        def change_role(self, by: str, place: int, whom: str, role: str) -> None:
            expected = self.may(by, place, "owner")
            if expected is None and whom not in self.members[place]:
                expected = 404
            if expected is None and role != "owner" and self.is_last_owner(whom, place):
                expected = 409
            path = f"/o/{self.ids[place]}/members/{self.people[whom].user_id}/role"
            assert self.people[by].post(path, {"role": role}).status_code == (expected or 303)
            if expected is None and self.members[place][whom] != role:
                self.members[place][whom] = role
                self.ends(whom, place, role)

        @precondition(lambda self: any(each["open"] for each in self.invites))
        @rule(data=st.data(), role=roles)
        def change_role_of_an_inviter(self, data: st.DataObject, role: str) -> None:
            """Seldom by chance, and the way by which somebody could keep a role in store."""
            invite = data.draw(st.sampled_from([each for each in self.invites if each["open"]]))
            owners = [name for name, has in self.members[invite["place"]].items() if has == "owner"]
            self.change_role(data.draw(st.sampled_from(owners)), invite["place"], invite["by"], role)

        @rule(by=people, place=places, whom=people)
        def remove(self, by: str, place: int, whom: str) -> None:
            expected = self.may(by, place, "admin")
            if expected is None and whom not in self.members[place]:
                expected = 404
            if expected is None and (
                by == whom or (self.members[place][by] != "owner" and self.members[place][whom] != "member")
            ):
                expected = 403
            path = f"/o/{self.ids[place]}/members/{self.people[whom].user_id}/remove"
            assert self.people[by].post(path).status_code == (expected or 303)
            if expected is None:
                del self.members[place][whom]
                self.sees(whom, place)
                self.ends(whom, place)

        @rule(by=people, place=places)
        def leave(self, by: str, place: int) -> None:
            expected = self.may(by, place, "member")
            if expected is None and self.is_last_owner(by, place):
                expected = 409
            assert self.people[by].post(f"/o/{self.ids[place]}/leave").status_code == (expected or 303)
            if expected is None:
                del self.members[place][by]
                self.sees(by, place)
                self.ends(by, place)

        @rule(by=people)
        def delete_account(self, by: str) -> None:
            """The account goes; somebody else registers under the same address."""
            stuck = any(len(here) > 1 and self.is_last_owner(by, place) for place, here in enumerate(self.members))
            try:
                with workspace.database.write() as db:
                    user = db.get(User, self.people[by].user_id)
                    assert user is not None
                    membership.leave_all(db, request_to(workspace), user)
                    db.delete(user)
            except ConflictError:
                assert stuck
                return
            assert not stuck
            self.people[by] = workspace.person(f"{by}-{self.run}@example.org")
            for place, here in enumerate(self.members):
                if here.pop(by, None) is None:
                    continue
                self.ends(by, place)
                if not here:  # the organisation went too, with its invites; another takes its place
                    for each in self.invites:
                        each["open"] &= each["place"] != place
                    with workspace.database.read() as db:
                        assert db.get(Organization, self.ids[place]) is None
                    self.ids[place] = workspace.organization(self.people[by], f"{by}'s")
                    here[by] = "owner"

        @invariant()
        def as_expected(self) -> None:
            """Roles are what somebody was allowed to give, and nothing else."""
            with workspace.database.read() as db:
                names = {browser.user_id: name for name, browser in self.people.items()}
                for place, organization in enumerate(self.ids):
                    found = db.scalars(select(Membership).where(Membership.organization_id == organization))
                    members = {names[each.user_id]: each.role for each in found}
                    assert members == self.members[place]
                    assert "owner" in members.values()

        @rule(by=people, place=places)
        def look(self, by: str, place: int) -> None:
            self.sees(by, place)

        def sees(self, name: str, place: int) -> None:
            """Members see the organisation, all others find nothing."""
            status = self.people[name].get(f"/o/{self.ids[place]}/model").status_code
            assert status == (200 if name in self.members[place] else 404)

    return MembershipMachine


@BOTH
def test_there_is_always_an_owner(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inviting, "INVITES_AN_HOUR", 1000)
    run_state_machine_as_test(
        machine(workspace),
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.reuse, Phase.generate),  # to shrink an example would take minutes
        ),
    )
