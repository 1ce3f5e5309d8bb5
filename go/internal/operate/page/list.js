// The list of names that is shown: a page of it, and the way through the pages.
import { Refused, get } from './api.js';
import { lists } from './lists.js';
import { ascii, changed, count, counted, find, node, rebuild, say, told, visible } from './text.js';

const page = 50; // rows; the service may send fewer
const scans = 8; // requests for a page whose names are far apart

const [note, table, pages] = ['#note', '#list', '#pages'].map(find);
const [head, body] = [table.tHead, table.tBodies[0]];
const [previous, pageNumber, next] = pages.children;

let answer = null; // the page that is shown: { question, at, names, cursor, refused }
let question = ''; // what is asked for now
let cursors = ['']; // of its pages up to the one that is asked for

// prefixOf is what is asked for: names travel in ASCII.
export function prefixOf(text) {
	const plain = text.trim().toLowerCase();
	return /^[\x21-\x7e]*$/.test(plain) ? plain : ascii(plain) || plain;
}

function questionOf(wanted) {
	const prefix = wanted.list === 'ending' ? '' : prefixOf(wanted.prefix); // that list is in the order of time
	return { cache: wanted.cache, state: wanted.list === 'memory' ? '' : wanted.list, prefix };
}

export async function loadList(wanted, signal) {
	const parameters = questionOf(wanted);
	if (question !== JSON.stringify(parameters)) [question, cursors] = [JSON.stringify(parameters), ['']];
	const found = { question, at: cursors.at(-1), names: [], cursor: cursors.at(-1), refused: '' };
	try {
		for (let scan = 0; scan < scans && found.names.length < page; scan++) {
			const { cursor } = found;
			const part = await get('names', { ...parameters, limit: page - found.names.length, cursor }, signal);
			found.names.push(...(part.names ?? []));
			found.cursor = part.cursor ?? '';
			if (!found.cursor) break;
		}
	} catch (error) {
		if (!(error instanceof Refused)) throw error;
		[found.refused, found.cursor] = [error.message, ''];
	}
	answer = found;
}

// turn goes a page on or back, from the page that is shown.
function turn(forward, load) {
	if (answer.question !== question || answer.at !== cursors.at(-1)) return; // on its way already
	if (forward) cursors.push(answer.cursor);
	else cursors.pop();
	find('#names').scrollIntoView();
	load();
}

export function setUpPages(load) {
	previous.onclick = () => turn(false, load);
	next.onclick = () => turn(true, load);
}

// showList shows what was answered last. If that is of another list, its rows stay until this one’s come.
export function showList(wanted, cache, link) {
	const late = answer.question !== JSON.stringify(questionOf(wanted));
	table.ariaBusy = String(late);
	if (late) return;
	const { columns } = lists[wanted.list];
	table.className = wanted.list;
	const titles = ['Name', ...columns.map(([title]) => title)];
	rebuild(head, titles, () => node('tr', {}, ...titles.map((title) => node('th', { scope: 'col' }, title))));
	say(note, summary(wanted, cache));
	note.classList.toggle('bad', Boolean(answer.refused));
	showRows(wanted, columns, link);
	table.hidden = answer.names.length === 0;
	previous.disabled = cursors.length === 1;
	next.disabled = !answer.cursor;
	pages.hidden = previous.disabled && next.disabled;
	say(pageNumber, `Page ${count(cursors.length)}`);
}

function summary(wanted, cache) {
	if (answer.refused) return answer.refused;
	const prefix = prefixOf(wanted.prefix);
	const translated = prefix !== wanted.prefix.trim().toLowerCase();
	const aside = translated ? ` Asked for as ${visible(prefix)}: other scripts are found label by label.` : '';
	return (answer.names.length ? found(wanted, prefix, cache) : absence(wanted, prefix)) + aside;
}

function found(wanted, prefix, cache) {
	const { length } = answer.names;
	const total = cache[lists[wanted.list].counter];
	if (wanted.list === 'ending' && length === page) return `The ${length} whose certificates end first.`;
	if (cursors.length > 1) return `${counted(length, 'name')} on this page.`;
	if (!answer.cursor) return `${counted(length, 'name')}.`;
	if (prefix || !total) return `The first ${counted(length, 'name')}.`;
	return `The first ${length} of ${counted(total, 'name')}.`;
}

function absence(wanted, prefix) {
	if (answer.cursor) return 'None found so far; the search goes on with the next page.';
	if (cursors.length > 1) return 'No more names.';
	if (!prefix) return lists[wanted.list].none;
	return `None begins with “${visible(prefix)}”. “Look up” asks for exactly this name.`;
}

// Rows stay where their names stay, so that nothing jumps and the focus is kept.
function showRows(wanted, columns, link) {
	const rows = new Map([...body.rows].map((row) => [row.dataset.name, row]));
	const wantedRows = answer.names.map((name) => rows.get(name.name) ?? newRow(name.name));
	if (wantedRows.length !== body.rows.length || wantedRows.some((row, index) => row !== body.rows[index])) {
		const focused = document.activeElement?.closest('#list tbody tr');
		body.replaceChildren(...wantedRows);
		const next = wantedRows.includes(focused) ? focused : wantedRows[0];
		if (focused) next?.querySelector('a').focus({ preventScroll: true });
	}
	answer.names.forEach((name, index) => {
		const row = wantedRows[index];
		row.cells[0].firstChild.href = link(name.name);
		row.classList.toggle('chosen', name.name === wanted.name);
		if (!changed(row, [wanted.list, name])) return;
		while (row.cells.length > 1) row.lastChild.remove();
		row.append(...columns.map(([title, show]) => cell(title, show(name))));
	});
}

function newRow(name) {
	const row = node('tr', {}, node('th', { scope: 'row' }, node('a', {}, ...told(name))));
	row.dataset.name = name;
	return row;
}

function cell(title, content) {
	const data = node('td', {}, content || '–');
	data.dataset.title = title;
	return data;
}
