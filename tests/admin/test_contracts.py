"""The parts of Django's admin and of django-celery-results that the library relies on."""

from __future__ import annotations

import datetime
import sys
from typing import Any

import pytest
from django import forms
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.messages import get_messages
from django.contrib.messages.storage.fallback import FallbackStorage
from django.db import models
from django.test import Client, RequestFactory
from django_celery_results.backends import CacheBackend, DatabaseBackend

from cereal_methods.celery_api import backends
from cereal_methods.django_api import admin as api
from tests.celery import app
from tests.unit.celery_api.test_backends import check_records
from tests.unit.contracts import untested

from .conftest import LIST, boxes, user_with
from .models import Box

pytestmark = pytest.mark.django_db


def test_every_function_has_a_test() -> None:
    assert untested(api, sys.modules[__name__]) == []


@pytest.fixture
def model_admin() -> Any:
    return admin.site.get_model_admin(Box)


def test_action_checkbox_name_is_that_of_the_selected_rows(admin_client: Client) -> None:
    boxes(1)

    page = admin_client.get(LIST).content.decode()

    assert f'type="checkbox" name="{api.ACTION_CHECKBOX_NAME}"' in page


def test_adminform_iterates_over_fieldsets(model_admin: Any, rf: RequestFactory) -> None:
    class Form(forms.Form):
        carrier = forms.CharField()

    admin_form = api.AdminForm(Form(), [(None, {"fields": ["carrier"]})], {}, (), model_admin)

    assert [field.field.name for set_ in admin_form for line in set_ for field in line] == [
        "carrier"
    ]


def test_is_popup_var_makes_a_page_a_popup(admin_client: Client) -> None:
    assert admin_client.get(LIST, {api.IS_POPUP_VAR: 1}).context["is_popup"]
    assert not admin_client.get(LIST).context["is_popup"]


def test_model_format_dict_has_the_placeholders_of_descriptions() -> None:
    description = "%(verbose_name)s of %(verbose_name_plural)s"

    assert description % api.model_format_dict(Box._meta) == (
        f"{Box._meta.verbose_name} of {Box._meta.verbose_name_plural}"
    )


def test_model_ngettext_is_singular_for_one() -> None:
    assert api.model_ngettext(Box, 1) == "box"
    assert api.model_ngettext(Box, 2) == Box._meta.verbose_name_plural


def test_pretty_name_is_the_label_that_a_form_makes() -> None:
    class Form(forms.Form):
        sent_at = forms.CharField()

    assert Form()["sent_at"].label == api.pretty_name("sent_at") == "Sent at"


def test_widgets_are_those_of_the_admin_s_forms(model_admin: Any, rf: RequestFactory) -> None:
    for field, widget in (
        (models.DateField(), api.widgets.AdminDateWidget),
        (models.TimeField(), api.widgets.AdminTimeWidget),
        (models.DateTimeField(), api.widgets.AdminSplitDateTime),
        (models.CharField(), api.widgets.AdminTextInputWidget),
        (models.IntegerField(), api.widgets.AdminIntegerFieldWidget),
        (models.UUIDField(), api.widgets.AdminUUIDInputWidget),
    ):
        field.name = "it"
        made = model_admin.formfield_for_dbfield(field, rf.get("/"))
        assert isinstance(made.widget, widget)


def test_quote_and_unquote_are_those_of_the_admin_s_urls() -> None:
    for key in ("1", "a/b_c", "é", "_2F"):
        assert api.unquote(api.quote(key)) == key
        assert "/" not in api.quote(key)


def test_unquote_reads_what_quote_wrote() -> None:
    assert api.unquote(api.quote("a/b")) == "a/b"


def test_redirect_from_missing_is_the_admin_s_own(model_admin: Any, rf: RequestFactory) -> None:
    request = rf.get("/")
    request.session = {}  # type: ignore[assignment]
    storage = FallbackStorage(request)
    request._messages = storage  # type: ignore[attr-defined]

    response = api.redirect_from_missing(model_admin, request, "77")

    assert response.status_code == 302
    assert "77" in "".join(map(str, get_messages(request)))


def test_action_names_are_the_admin_s_and_the_site_s(model_admin: Any) -> None:
    assert set(api.action_names(model_admin)) == {"delete_selected"}


def test_made_action_is_one_that_the_admin_offers_and_runs(rf: RequestFactory) -> None:
    ran: list[Any] = []

    class Own(admin.ModelAdmin):  # type: ignore[type-arg]
        def get_actions(self, request: Any, action_location: Any = None) -> Any:
            assert api.is_list(action_location)
            actions = api.given_actions(super().get_actions, request, action_location)
            action = api.made_action(lambda *args: ran.append(args), "own", "Do %(verbose_name)s")
            return {**actions, "own": action}

    request = rf.post("/", {"action": "own", "_selected_action": [boxes(1)[0].pk]})
    request.user = user_with("change", "delete")  # type: ignore[assignment]
    own = Own(Box, admin.site)

    assert ("own", "Do box") in own.get_action_choices(request)
    assert "delete_selected" in dict(own.get_action_choices(request))
    own.response_action(request, Box.objects.all())
    assert len(ran) == 1
    assert ran[0][:2] == (own, request)


def test_given_actions_are_those_of_the_parent(model_admin: Any, rf: RequestFactory) -> None:
    request = rf.get("/")
    request.user = user_with("delete")  # type: ignore[assignment]
    own = admin.ModelAdmin(Box, admin.site)

    assert list(api.given_actions(own.get_actions, request, None)) == ["delete_selected"]


def test_action_is_a_tuple_s_successor(rf: RequestFactory, model_admin: Any) -> None:
    request = rf.get("/")
    request.user = user_with("delete")  # type: ignore[assignment]
    (action,) = admin.ModelAdmin(Box, admin.site).get_actions(request).values()

    assert isinstance(action, tuple if api.Action is None else api.Action)


def test_actionlocation_came_with_action() -> None:
    assert (api.ActionLocation is None) == (api.Action is None)


def test_is_list_is_false_of_an_object_s_page() -> None:
    assert api.is_list(None)
    if api.ActionLocation is not None:  # from Django 6.1 on
        assert api.is_list(api.ActionLocation.CHANGE_LIST)
        assert not api.is_list(api.ActionLocation.CHANGE_FORM)


@pytest.mark.parametrize(
    ("permissions", "may"), [(["view"], True), (["change"], True), (["delete"], False)]
)
def test_may_view_takes_either_permission(
    model_admin: Any, rf: RequestFactory, permissions: list[str], may: bool
) -> None:
    request = rf.get("/")
    request.user = user_with(*permissions)  # type: ignore[assignment]

    assert api.may_view(model_admin, request) is may
    assert api.may_view(model_admin, request, boxes(1)[0]) is may


def test_content_type_of_is_what_the_log_has(model_admin: Any, rf: RequestFactory) -> None:
    request = rf.get("/")
    request.user = user_with("change")  # type: ignore[assignment]
    box = boxes(1)[0]
    model_admin.log_change(request, box, "It has changed.")

    entry = LogEntry.objects.get(action_flag=CHANGE)

    assert entry.content_type == api.content_type_of(Box)
    assert entry.content_type == ContentType.objects.get_for_model(Box)


# django-celery-results.


@pytest.mark.parametrize("serializer", ["json", "cereal-json", "cereal-pickle"])
def test_records_of_django_s_database(serializer: str, django_assert_num_queries: Any) -> None:
    backend = DatabaseBackend(app=app, serializer=serializer)
    check_records(backend)

    with django_assert_num_queries(1):
        backends.records_of(backend, ["one", "two"])


def test_records_of_django_s_cache() -> None:
    check_records(CacheBackend(app=app, url="django-cache"))


def test_timesince_is_the_time_in_words() -> None:
    noon = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)

    words = api.timesince(noon, noon + datetime.timedelta(minutes=2))

    assert words.replace("\xa0", " ") == "2 minutes"


def test_registered_admin_is_that_of_the_site(model_admin: Any) -> None:
    assert api.registered_admin(admin.site, Box) is model_admin
    assert api.registered_admin(admin.AdminSite(name="another"), Box) is None
