/* Updates the progress of a run until it is complete. The server provides the texts. */
'use strict';
{
    const page = document.getElementById('model-task-run');
    const find = (name) => page.querySelector(`[data-${name}]`);
    const bar = find('bar');
    const INTERVAL = 1000; // milliseconds
    let announced = Math.floor(bar.value * 4 / bar.max);

    function setText(element, text) {
        if (element.textContent !== text) {
            element.textContent = text;
        }
    }

    // For screen readers: announce each quarter and the end.
    function announce(progress) {
        const quarter = progress.total ? Math.floor(progress.completed * 4 / progress.total) : 4;
        if (quarter > announced) {
            announced = quarter;
            setText(find('announced'), progress.status);
        }
    }

    const textOf = (cell) => cell.textContent;
    const keyOf = (tr) => {
        const link = tr.querySelector('a');
        return JSON.stringify([link ? link.getAttribute('href') : '', ...Array.from(tr.cells, textOf)]);
    };

    function newRow(row) {
        const tr = document.createElement('tr');
        const name = document.createElement('th');
        const error = document.createElement('td');
        name.scope = 'row';
        error.textContent = row.error;
        if (row.url) {
            const link = document.createElement('a');
            link.href = row.url;
            link.textContent = row.text;
            name.append(link);
        } else {
            name.textContent = row.text;
        }
        tr.append(name, error);
        return tr;
    }

    function showFailures(progress) {
        const body = find('failures').querySelector('tbody');
        // Keep rows that are listed already, because a link in them may have the focus.
        const shown = new Map(Array.from(body.rows, (tr) => [keyOf(tr), tr]));
        const wanted = progress.failures.map((row) => {
            const key = JSON.stringify([row.url, row.text, row.error]);
            const tr = shown.get(key) || newRow(row);
            shown.delete(key);
            return tr;
        });
        shown.forEach((tr) => tr.remove());
        wanted.forEach((tr, index) => {
            if (body.rows[index] !== tr) {
                body.insertBefore(tr, body.rows[index] || null);
            }
        });
        setText(find('more'), progress.more);
        find('failures').hidden = !progress.failures.length && !progress.more;
    }

    function show(progress) {
        find('unavailable').hidden = true;
        find('numbers').hidden = false;
        bar.max = progress.total || 1;
        bar.value = progress.total ? progress.completed : 1;
        setText(find('status'), progress.status);
        for (const [name, number] of Object.entries(progress.numbers)) {
            const cell = page.querySelector(`[data-number="${name}"]`);
            setText(cell, number);
            cell.classList.toggle('model-task-wrong', progress.wrong.includes(name));
        }
        setText(find('also'), progress.also);
        showFailures(progress);
        announce(progress);
        if (progress.is_complete) {
            page.dataset.complete = '';
            find('reload').hidden = true;
        }
    }

    async function ask() {
        const started = performance.now();
        let isComplete = false;
        try {
            const response = await fetch(page.dataset.url, {
                headers: {Accept: 'application/json'}, redirect: 'manual',
            });
            if (response.type === 'opaqueredirect' || response.status === 403 || response.status === 404) {
                location.reload(); // logged out, or the run has expired: the server explains
                return;
            }
            if (!response.ok) {
                throw new Error(response.status);
            }
            const progress = await response.json();
            show(progress);
            isComplete = progress.is_complete;
        } catch {
            find('unavailable').hidden = false;
        }
        if (!isComplete) {
            // Ask less often if the server takes long.
            const took = performance.now() - started;
            setTimeout(ask, Math.max(INTERVAL, 2 * took));
        }
    }

    setTimeout(ask, INTERVAL);
}
