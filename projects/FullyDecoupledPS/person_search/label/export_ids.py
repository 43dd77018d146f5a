"""Whose identity is known well enough to be taught."""

from collections import defaultdict

from .labelling import Labelling

# So many of the most similar others must have been answered "different" of a tracklet alone.
NEAREST = 3


def known_persons(labelling: Labelling) -> list[int]:
    """The persons who may have an id of their own in a data set, by rising number.

    A tracklet that nobody has looked at may be somebody who has an id already: with another one it
    would teach that two views of a person are different people. So a person is known

    - with two tracklets or more, since somebody answered "same" of them;
    - with one tracklet, if it was answered "different" of each of the ``NEAREST`` most similar
      other persons (of all, if they are fewer). Those who are different anyway, being seen at the
      same time, do not count.
    """
    persons = labelling.groups()
    person_of = {unit: group.person_id for group in persons for unit in group.units}
    units_of = defaultdict(list)
    for unit in labelling.units():
        if unit.unit in person_of:
            units_of[unit.tracklet.tracklet_id].append(unit.unit)
    neighbors = labelling.project.neighbors()

    def is_told_apart(unit: int) -> bool:
        compared = {person_of[unit]}
        ids, _ = neighbors.get(labelling.unit(unit).tracklet.tracklet_id, ((), ()))
        for other in (other for tracklet in ids for other in units_of[int(tracklet)]):
            if person_of[other] in compared:
                continue
            link = labelling.link(unit, other)
            if link is None:
                return False
            if link.number is not None:
                compared.add(person_of[other])
                if len(compared) > NEAREST:
                    break
        return len(compared) > 1

    return sorted(g.person_id for g in persons if len(g.units) > 1 or is_told_apart(g.units[0]))
