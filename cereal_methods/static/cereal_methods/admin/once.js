/* Disable the button, so that a second click does not send the method again. */
'use strict';
for (const form of document.querySelectorAll('form[data-model-task]')) {
    const button = form.querySelector('[type="submit"]');
    form.addEventListener('submit', () => {
        button.disabled = true;
    });
    // The browser's back button may show the page as it was left.
    window.addEventListener('pageshow', () => {
        button.disabled = false;
    });
}
