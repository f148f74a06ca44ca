/* A second click would send the method a second time. */
'use strict';
{
    const form = document.getElementById('model-task-form');
    const button = form.querySelector('input[type="submit"]');
    form.addEventListener('submit', () => {
        button.disabled = true;
    });
    // On the way back the browser may show the page as it was left.
    window.addEventListener('pageshow', () => {
        button.disabled = false;
    });
    // Where something is to be filled in, begin there; never on the button, which sends.
    const inputs = ['input:not([type="hidden"])', 'select', 'textarea'];
    const within = (row) => form.querySelector(inputs.map((input) => `${row} ${input}`).join());
    const field = within('.form-row.errors') || within('.form-row');
    if (field) {
        field.focus();
    }
}
