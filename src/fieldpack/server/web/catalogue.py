"""All fixed text of the pages, by language and key. A new language is one more entry of `CATALOGUES`.

A text may have `{places}`. A key with the endings `.zero`, `.one`, `.two`, `.few`, `.many` and `.other`, as many of
them as the language has, is chosen by its `{count}`: the categories are those of CLDR, which the browser goes by
as well. Keys that begin with `js.` go to the browser; everything else is used in templates and routes.
"""
# A text is one line, whatever its length, so that translators see it whole.
# ruff: noqa: E501

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from babel import Locale
from babel.plural import PluralRule

__all__ = ["CATALOGUES", "Catalogue", "choose_language"]

_PLACE = re.compile(r"\{(\w+)\}")

ENGLISH: dict[str, str] = {
    # every page
    "skip": "Skip to the content",
    "product": "fieldpack",
    "back": "Back",
    "next": "Next",
    "required": "Required",
    "optional": "Optional",
    # whom to ask, below every page of a study
    "contact.title": "Questions about this study",
    # the study page
    "start.title": "Taking part: {name}",
    "start.steps": "What you will do",
    "start.begin": "Start",
    "start.continue": "Continue",
    "start.minutes.one": "About {count} minute",
    "start.minutes.other": "About {count} minutes",
    "start.limit.one": "Finish within {count} minute of starting.",
    "start.limit.other": "Finish within {count} minutes of starting.",
    "start.limit_hours.one": "Finish within {count} hour of starting.",
    "start.limit_hours.other": "Finish within {count} hours of starting.",
    "start.saved": "Your answers are saved as you give them. You can stop at any time and come back by the same link.",
    "start.welcome_back": "Welcome back. Your answers are saved; go on where you left off.",
    "start.as": "You are taking part as {participant}.",
    "start.ask_id": "Your participant ID",
    "start.ask_id_help": "The link you followed doesn't say who you are. Enter the ID that the service which sent you here knows you by.",
    "start.ask_id_missing": "Enter your participant ID to start.",
    "start.ask_id_long": "A participant ID has at most 200 characters.",
    "start.someone_else": "Taking part as someone else?",
    # the form
    "form.page": "Page {number} of {total}",
    "form.review": "Check your answers",
    "form.progress": "Progress",
    "form.skip": "Go on, and come back to this later",
    "form.errors.one": "One question needs your attention",
    "form.errors.other": "{count} questions need your attention",
    "form.saved": "Your answers are saved when you press Next.",
    "form.leave": "Leave the study",
    "form.deadline": "Please finish by {time}.",
    "form.error": "Error:",
    "form.choose_one": "Choose one.",
    "form.choose_any": "Choose all that apply.",
    "form.choose_up_to.one": "Choose up to {count}.",
    "form.choose_up_to.other": "Choose up to {count}.",
    "form.choose": "Choose…",
    "form.exclusive": "Can't be combined with other choices",
    "form.unit": "Unit for: {question}",
    "form.choose_unit": "Unit…",
    "form.no_answer": "No answer",
    "form.no_files": "No files",
    "form.change": "Change",
    "form.change_of": "Change: {question}",
    "form.changed_elsewhere": "This answer was changed in another tab or on another device. It is now: {other}. Press Next to keep yours, shown here, instead.",
    "review.lead": "Look through your answers. You can still change them; after you submit, you can't.",
    "review.submit": "Submit",
    # rules, said before they are broken
    "rule.length_between": "Between {min} and {max} characters.",
    "rule.length_min.one": "At least {count} character.",
    "rule.length_min.other": "At least {count} characters.",
    "rule.length_max.one": "At most {count} character.",
    "rule.length_max.other": "At most {count} characters.",
    "rule.number": "A number.",
    "rule.number_between": "A number between {min} and {max}.",
    "rule.number_min": "A number, {min} or more.",
    "rule.number_max": "A number, {max} or less.",
    "rule.for_unit": "{unit}: {rule}",
    "rule.files_exactly.one": "{count} file",
    "rule.files_exactly.other": "{count} files",
    "rule.files_between": "{min} to {max} files",
    "rule.files_max.one": "Up to {count} file",
    "rule.files_max.other": "Up to {count} files",
    "rule.size": "at most {size} each",
    "rule.types": "{types}",
    # what is wrong, by the reasons of submissions/answers.py
    "problem.missing": "This question needs an answer.",
    "problem.not_number": "Enter a number, such as 72.5.",
    "problem.ambiguous": "This number can be read in two ways. Say which you mean.",
    "problem.number_low": "Enter a number of {bound} or more.",
    "problem.number_high": "Enter a number of {bound} or less.",
    "problem.text_short": "Write at least {bound} characters.",
    "problem.text_long": "Write at most {bound} characters.",
    "problem.unfinished": "A file is not completely uploaded. Wait for it, choose it again, or remove it.",
    "problem.few_files": "Add at least {bound}; there are {count} so far.",
    "problem.many_files": "Keep at most {bound}; there are {count}.",
    "problem.unit": "Choose a unit.",
    "problem.choices": "This choice isn't possible. Look at how many options may be chosen.",
    "problem.too_long": "This answer is too long to be saved: write at most {bound} characters.",
    "problem.invalid": "This answer can't be saved. Reload the page and give it again.",
    # files
    "files.choose": "Choose files",
    "files.camera": "Take a photo or video",
    "files.camera_photo": "Take a photo",
    "files.camera_video": "Record a video",
    "files.drop": "or drop them here, or paste",
    "files.plain": "Choose files, then press Next or “Upload now” to send them.",
    "files.upload_now": "Upload now",
    "files.list": "Your files",
    "files.remove": "Remove",
    "files.remove_of": "Remove {name}",
    "files.received": "Received, {size}",
    "files.unfinished": "Not finished: {done} of {size}",
    # after it
    "done.title": "Thank you",
    "done.lead": "Your answers were submitted. There is nothing left to do.",
    "done.late": "They arrived after the time was up. They were kept, and are marked as late.",
    "done.nothing": "There is nothing left to do.",
    "done.submitted": "Your answers were submitted.",
    "done.code_title": "One thing is left to do",
    "done.code_help": "Give this code to whoever sent you here. It shows them that you have finished.",
    "done.code_or_go": "The button hands in this code for you. If it doesn't, give the code to whoever sent you here.",
    "done.go_help": "Whoever sent you here then knows that you have finished.",
    "done.copy": "Copy the code",
    "done.go": "Finish at the service that sent you here",
    "done.already": "You have submitted your answers to this study already. They can't be changed any more.",
    "done.already_title": "Already submitted",
    "done.return_requested": "The researcher has asked you to return this submission.",
    "done.return": "Return the submission",
    # leaving
    "return.title": "Leave the study?",
    "return.lead": "Your place goes to someone else, and your answers are not used. This can't be undone.",
    "return.requested": "The researcher has asked you to return your submission. Your answers are then not used. This can't be undone.",
    "return.confirm": "Leave, and don't use my answers",
    "return.cancel": "Stay",
    # states
    "state.full.title": "This study is full",
    "state.full": "All its places are taken. Places come free when others leave or run out of time, so you can try again later.",
    "state.unpublished.title": "This study is not open yet",
    "state.unpublished": "It exists, but the researcher has not opened it. Try the same link again later.",
    "state.paused.title": "This study is paused",
    "state.paused": "The researcher has paused it. Nobody can start at the moment; try the same link again later.",
    "state.closed.title": "This study is closed",
    "state.closed": "It takes no more answers. Thank you for your interest.",
    "state.taken_part.title": "You have taken part already",
    "state.taken_part": "This participant ID has taken part as often as this study allows. If you began on another device or in another browser, go on there, or open the full link you were sent.",
    "state.not_admitted.title": "This study is for others",
    "state.not_admitted": "The researcher has chosen who may take part, and this participant ID is not among them. If the ID is not yours, open the link you were sent.",
    "state.returned.title": "You have left this study",
    "state.returned": "The submission was returned: your answers are not used, and the place went to someone else.",
    "state.late.title": "Time is up",
    "state.late": "The time for this study is over, and your place was given to someone else. What you have done is kept. You can still finish and submit; your answers will be marked as late.",
    "state.unknown.title": "There is nothing here",
    "state.unknown": "This link leads to no study. Check that it is complete, or ask whoever gave it to you.",
    "state.session.title": "Open your study link again",
    "state.session": "This browser doesn't hold the key to these answers. Open the link you were sent; your answers are saved and you go on where you left off.",
    "state.forbidden.title": "This was not accepted",
    "state.forbidden": "The request didn't come from this page. Go back, reload the page, and try again.",
    "state.busy.title": "One moment",
    "state.busy": "There are too many requests at the moment. Wait a few seconds, then try again.",
    "state.large.title": "That was too much at once",
    "state.large": "What you sent is larger than can be taken. Nothing that was saved is lost.",
    "state.broken.title": "Something went wrong",
    "state.broken": "The fault is on our side. What was saved is safe. Try again in a moment.",
    "state.invalid.title": "That can't be right",
    "state.invalid": "Something in this link or form is not as it should be. Go back and try again.",
    "state.link_altered.title": "This link isn't whole",
    "state.link_altered": "Something in it was changed or cut off on the way. Copy the whole link, or ask whoever gave it to you for a new one.",
    "state.link_expired.title": "This link has expired",
    "state.link_expired": "Ask whoever gave it to you for a new one.",
    "state.gone.title": "This is no longer here",
    "state.gone": "It was deleted, or may not be given out any more. Ask whoever gave you the link for a new one.",
    "state.retry": "Try again",
    "state.storage_full.title": "The server is full",
    "state.storage_full": "It can't take more files at the moment. Your saved answers are safe. Tell the researcher, and try again later.",
    # preview
    "preview.banner": "Preview. Nothing is stored or sent.",
    "preview.done": "This is what participants see once they have submitted. The code is an example.",
    "preview.code": "EXAMPLE1",
    "preview.back": "Back to your collections",
    # researchers
    "sign_in.title": "Sign in",
    "sign_in.lead": "For researchers. Sign in with a token, as the command line and the API use it.",
    "sign_in.token": "Token",
    "sign_in.help": "“fieldpack token create --name NAME” makes one.",
    "sign_in.submit": "Sign in",
    "sign_in.wrong": "This token is unknown or was revoked.",
    "sign_in.missing": "Enter a token.",
    "sign_in.once": "This link signs you in as {name} ({email}). It works once.",
    "sign_in.once_over_title": "This link is used up",
    "sign_in.once_over": "A sign-in link works once, and for 15 minutes. “fieldpack open” makes another.",
    "sign_in.by_token": "Sign in with a token",
    "sign_out": "Sign out",
    "signed_in_as": "Signed in as {name}",
    "researcher.title": "Collections",
    "researcher.none": "There are no collections yet. “fieldpack collection create -t FILE” makes one.",
    "researcher.off": "Collections are switched off in this workspace.",
    "researcher.more": "There are more; the command line lists them all.",
    "researcher.pages.one": "{count} page",
    "researcher.pages.other": "{count} pages",
    "researcher.responses.one": "{count} response",
    "researcher.responses.other": "{count} responses",
    "researcher.questions.one": "{count} item",
    "researcher.questions.other": "{count} items",
    "researcher.preview": "Preview",
    "researcher.preview_of": "Preview {name}",
    "researcher.export": "Export",
    "researcher.export_of": "Export {name}",
    "researcher.studies": "Studies",
    "researcher.no_studies": "No study yet. “fieldpack collection publish {id} -p 100” makes one.",
    "researcher.unenforced": "Kept, but not enforced here: {names}. Whoever has the link can take part, whatever these say.",
    "researcher.places": "Places",
    "researcher.active": "Under way",
    "researcher.review": "To review",
    "researcher.approved": "Approved",
    "researcher.other": "Other",
    "researcher.link": "Participant link",
    "researcher.link_of": "Participant link of {name}",
    "researcher.copy": "Copy",
    "researcher.copy_of": "Copy the participant link of {name}",
    "status.UNPUBLISHED": "Not published",
    "status.ACTIVE": "Active",
    "status.PAUSED": "Paused",
    "status.AWAITING REVIEW": "Full",
    "status.COMPLETED": "Closed",
    "export.title": "Export of {name}",
    "export.generating": "The archive is being made. This page looks again by itself.",
    "export.reload": "Look again",
    "export.complete": "The archive is ready.",
    "export.download": "Download the archive",
    "export.submissions.one": "{count} submission",
    "export.submissions.other": "{count} submissions",
    "export.files.one": "{count} file",
    "export.files.other": "{count} files",
    "export.expires": "The link is valid until {time}; this page always has a fresh one.",
    "export.failed": "The export failed: {reason} Go back and try again.",
    # in the browser
    "js.saving": "Saving…",
    "js.unclear": "Not saved yet: say which number you mean.",
    "js.saved": "All answers saved",
    "js.unsaved": "Not saved yet. Trying again…",
    "js.undecided": "Not saved: choose which answer to keep",
    "js.offline": "No connection. Your answers are kept on this device and saved when it is back.",
    "js.refused": "Could not be saved: this answer is too long, or has characters that can't be kept.",
    "js.session": "This browser is no longer signed in to the study. Open your study link again; what isn't saved yet is kept on this device.",
    "js.closed": "This study's answers were submitted or returned, perhaps in another tab. Reload the page.",
    "js.conflict": "This answer was changed in another tab or on another device, to: {other}",
    "js.keep_mine": "Keep mine",
    "js.use_other": "Use the other",
    "js.no_answer": "No answer",
    "js.number.read": "Read as {number}.",
    "js.number.ask": "{text} can be read in two ways. Which do you mean?",
    "js.number.whole": "{number}, a whole number",
    "js.number.thousandths": "{number}, that is {whole} and {fraction} thousandths",
    "js.count": "{count} of {max} characters",
    "js.count_long.one": "{count} character too many",
    "js.count_long.other": "{count} characters too many",
    "js.limit_reached": "You have chosen {count}, as many as possible. Take one away to choose another.",
    "js.chosen.one": "{count} chosen",
    "js.chosen.other": "{count} chosen",
    "js.page": "Page {number} of {total}",
    "js.review": "Check your answers",
    "js.errors.one": "One question needs your attention",
    "js.errors.other": "{count} questions need your attention",
    "js.error": "Error:",
    "js.missing": "This question needs an answer.",
    "js.not_number": "Enter a number, such as 72.5.",
    "js.ambiguous": "This number can be read in two ways. Say which you mean.",
    "js.number_low": "Enter a number of {bound} or more.",
    "js.number_high": "Enter a number of {bound} or less.",
    "js.text_short": "Write at least {bound} characters.",
    "js.text_long": "Write at most {bound} characters.",
    "js.unit": "Choose a unit.",
    "js.few_files": "Add at least {bound}; there are {count} so far.",
    "js.many_files": "Keep at most {bound}; there are {count}.",
    "js.unfinished": "A file is not completely uploaded, or was not accepted. Resume it, choose it again, or remove it.",
    "js.submitting": "Submitting…",
    "js.waiting.one": "Waiting for {count} upload to finish, then submitting by itself…",
    "js.waiting.other": "Waiting for {count} uploads to finish, then submitting by itself…",
    "js.waiting_answers": "Waiting for the connection to save your answers, then submitting by itself…",
    "js.submit_failed": "Submitting didn't work: {detail}",
    "js.no_connection": "there is no connection. Try again in a moment.",
    "js.deadline": "{time} left",
    "js.late": "Time is up. What you have done is kept. You can still finish and submit; your answers will be marked as late.",
    "js.copied": "Copied",
    "js.copy_failed": "Select the text and copy it.",
    "js.image_missing": "The picture could not be loaded. It shows: {alt}",
    "js.clear": "Take the choice back",
    "js.clear_of": "Take the choice back: {question}",
    "js.files.queued": "Waiting",
    "js.files.checking": "Checking",
    "js.files.sending": "{done} of {size}",
    "js.files.speed": "{speed}/s",
    "js.files.left": "{time} left",
    "js.files.paused": "Paused at {done} of {size}",
    "js.files.waiting": "No connection. Goes on by itself at {done} of {size}",
    "js.files.finishing": "Sent. Waiting for the receipt",
    "js.files.done": "Received, {size}",
    "js.files.receipt": "Receipt: SHA-256 {sha256}",
    "js.files.unchecked": "This page has no secure connection, so the browser can't check the bytes it sends: uploads are unchecked.",
    "js.files.detached": "Stopped at {done} of {size}. Choose the same file again to go on.",
    "js.files.elsewhere": "Begun in another browser, at {done} of {size}. Go on there, or remove it.",
    "js.files.other_tab": "Is being sent in another tab",
    "js.files.preview": "Preview: checked, but not sent",
    "js.files.pause": "Pause",
    "js.files.resume": "Resume",
    "js.files.retry": "Try again",
    "js.files.remove": "Remove",
    "js.files.action_of": "{action}: {name}",
    "js.files.progress_of": "Upload of {name}",
    "js.files.wrong_type": "{name} was not added: files of type {type} are not accepted here. Accepted: {types}.",
    "js.files.wrong_content": "{name} was not added: its content is {kind}, which is not accepted here. Accepted: {types}.",
    "js.files.too_large": "{name} was not added: it has {size}, and at most {max} are allowed.",
    "js.files.empty": "{name} was not added: it is empty.",
    "js.files.too_many": "{name} was not added: at most {count} are possible here. Remove one to add another.",
    "js.files.twice": "{name} was added already.",
    "js.files.unreadable": "{name} was not added: it can't be read.",
    "js.files.changed": "This file can't be read any more. Remove it, and choose it again.",
    "js.files.failed": "Not accepted: {detail}",
    "js.files.refused.409": "no more files can be added here. Remove one first, or reload the page.",
    "js.files.refused.410": "the server has given up this upload. Try again.",
    "js.files.refused.413": "it is too large for this question, or the study takes no more bytes.",
    "js.files.refused.415": "its name or its content is of no type that is accepted here.",
    "js.files.refused.other": "the server could not take it. Reload the page and try again.",
    "js.files.no_room": "{name} was not added: the study takes no more bytes.",
    "js.files.wrong_kind": "{name} was not added: its content is of no type that is accepted here. Accepted: {types}.",
    "js.files.not_taken": "{name} was not added: the server could not take it. Try again.",
    "js.files.announce_done": "{name} was received.",
    "js.files.announce_added": "{name} was added.",
    "js.files.announce_removed": "{name} was removed.",
    "js.files.pasted": "pasted",
    "js.files.kind.picture": "a picture of another type",
    "js.files.kind.video": "a film",
    "js.files.kind.audio": "a sound recording",
    "js.files.kind.pdf": "a PDF",
    "js.files.kind.archive": "an archive",
    "js.files.kind.document": "a document of another type",
    "js.files.kind.text": "plain text",
    "js.files.kind.web": "a web page or drawing with code",
    "js.files.kind.program": "a program",
}

CATALOGUES: dict[str, tuple[str, Mapping[str, str]]] = {"en": ("ltr", ENGLISH)}
"""Language tag: direction of writing, and texts."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The texts of one language."""

    language: str
    direction: str
    texts: Mapping[str, str]

    def text(self, key: str, **values: object) -> str:
        """The text of `key`, with its places filled; raises KeyError for a key that isn't there.

        Of several forms it is that of `count` in this language, and `.other` where there is none or no count.
        """
        found = self.texts.get(key)
        if found is None:
            found = self.texts.get(f"{key}.{self.plural_form(values.get('count'))}")
        if found is None:
            found = self.texts[f"{key}.other"]
        return _PLACE.sub(lambda place: str(values.get(place[1], place[0])), found)

    def plural_form(self, count: object) -> str:
        """The CLDR category of a number in this language: `zero`, `one`, `two`, `few`, `many` or `other`.

        Followed: Unicode TR 35 part 3, Language Plural Rules, as `Intl.PluralRules` does in the browser.
        """
        if not isinstance(count, int | float):
            return "other"
        return _plural_rule(self.language)(abs(count))

    def for_browser(self) -> dict[str, str]:
        """The texts that scripts use, without the `js.`."""
        return {key[3:]: text for key, text in self.texts.items() if key.startswith("js.")}


@cache
def _plural_rule(language: str) -> PluralRule:
    return Locale.parse(language, sep="-").plural_form


def choose_language(accept_language: str) -> Catalogue:
    """The first language of an `Accept-Language` header that there is a catalogue for, else English."""
    for entry in accept_language.split(","):
        tag = entry.partition(";")[0].strip().lower()
        for language in (tag, tag.partition("-")[0]):
            if language in CATALOGUES:
                return Catalogue(language, *CATALOGUES[language])
    return Catalogue("en", *CATALOGUES["en"])
