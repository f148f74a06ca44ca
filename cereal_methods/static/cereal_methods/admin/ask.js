/* Focus the first field, or the first with an error, and never the button that sends. */
'use strict';
{
    const form = document.getElementById('model-task-form');
    const inputs = ['input:not([type="hidden"])', 'select', 'textarea'];
    const within = (row) => form.querySelector(inputs.map((input) => `${row} ${input}`).join());
    const field = within('.form-row.errors') || within('.form-row');
    if (field) {
        field.focus();
    }
}
