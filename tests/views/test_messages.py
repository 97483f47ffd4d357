"""Messages of a browser in the order in which they came, shared among callbacks and runs of the script."""

from mnist_fc.views.state.messages import MAX_MESSAGES, Inbox, Message


def message(number: int, *clicked: str) -> Message:
    return Message({"number": number}, frozenset(clicked))


def numbers(messages: list[Message]) -> list[int]:
    return [each.values["number"] for each in messages]


def test_click_that_comes_later_waits_for_its_callback() -> None:
    inbox = Inbox()
    inbox.put(message(1, "train"))
    inbox.begin_run()
    inbox.put(message(2))
    inbox.put(message(3, "stop"))
    inbox.put(message(4))
    assert numbers(inbox.take(for_callback=True)) == [1]
    assert numbers(inbox.take(for_callback=False)) == [2]
    inbox.begin_run()
    assert numbers(inbox.take(for_callback=True)) == [3]
    assert numbers(inbox.take(for_callback=False)) == [4]


def test_full_inbox_drops_the_oldest() -> None:
    inbox = Inbox()
    for number in range(3):
        inbox.put(message(number))
    inbox.begin_run()
    inbox.put(message(3, "train"))
    for number in range(4, MAX_MESSAGES + 2):
        inbox.put(message(number))
    assert numbers(inbox.take(for_callback=False)) == [2]
    inbox.begin_run()
    assert numbers(inbox.take(for_callback=True)) == [3]
    assert numbers(inbox.take(for_callback=False)) == list(range(4, MAX_MESSAGES + 2))
