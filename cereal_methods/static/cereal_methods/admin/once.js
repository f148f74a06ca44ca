/* A second click would send the method a second time. */
'use strict';
for (const form of document.querySelectorAll('form[data-model-task]')) {
    const button = form.querySelector('[type="submit"]');
    form.addEventListener('submit', () => {
        button.disabled = true;
    });
    // On the way back the browser may show the page as it was left.
    window.addEventListener('pageshow', () => {
        button.disabled = false;
    });
}
