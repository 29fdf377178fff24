"""What the fields of a collection are called on the form, by their names in the API; the rest of the form's words."""

from __future__ import annotations

from fieldpack.server.web.catalogue import Catalogue, message

__all__ = ["form_texts"]

TEXTS = {
    "name": message("field.name"),
    "description": message("field.description"),
    "task_name": message("field.task_name"),
    "task_introduction": message("field.task_introduction"),
    "task_steps": message("field.task_steps"),
    "question": message("field.question"),
    "helper_text": message("field.helper_text"),
    "placeholder_text_input": message("field.placeholder"),
    "required": message("field.required"),
    "validation": message("field.validation"),
    "rule_type": message("field.rule_type"),
    "min": message("field.min"),
    "max": message("field.max"),
    "options": message("field.options"),
    "unit_options": message("field.units"),
    "label": message("field.label"),
    "value": message("field.value"),
    "value_type": message("field.value_type"),
    "heading": message("field.heading"),
    "exclusive": message("field.exclusive"),
    "answer_limit": message("field.answer_limit"),
    "disable_dropdown": message("field.disable_dropdown"),
    "default_unit": message("field.default_unit"),
    "unit_position": message("field.unit_position"),
    "accepted_file_types": message("field.accepted_file_types"),
    "max_file_size_mb": message("field.max_file_size_mb"),
    "min_file_count": message("field.min_file_count"),
    "max_file_count": message("field.max_file_count"),
    "content": message("field.content"),
    "content_format": message("field.content_format"),
    "url": message("field.url"),
    "alt_text": message("field.alt_text"),
    "caption": message("field.caption"),
    # types and choices
    "free_text": message("type.free_text"),
    "multiple_choice": message("type.multiple_choice"),
    "multiple_choice_with_free_text": message("type.multiple_choice_explained"),
    "free_text_with_unit": message("type.with_unit"),
    "file_upload": message("type.file_upload"),
    "rich_text": message("type.rich_text"),
    "image": message("type.image"),
    "none": message("field.no_rule"),
    "string": message("field.text"),
    "text": message("editor.as_text"),
    "number": message("field.number"),
    "truth": message("field.truth"),
    "prefix": message("field.prefix"),
    "suffix": message("field.suffix"),
    "html": message("field.html"),
    "markdown": message("field.markdown"),
    # what can be done
    "page": message("editor.form_page"),
    "up": message("editor.up"),
    "down": message("editor.down"),
    "remove": message("files.remove"),
    "add": message("editor.add"),
    "add_page": message("editor.add_page"),
    "add_option": message("editor.add_option"),
    "kind": message("editor.kind"),
    "moved": message("editor.moved"),
    "drag": message("editor.drag"),
}


def form_texts(catalogue: Catalogue) -> dict[str, str]:
    """The words of the form, in the reader's language. `{number}` and the like are left for the script."""
    return {
        name: catalogue.text(key, number="{number}", name="{name}", page="{page}")
        for name, key in TEXTS.items()
    }
