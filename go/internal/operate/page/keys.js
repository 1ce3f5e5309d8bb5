// The keys beside the browser's own: "/" to search, arrows to walk, Esc to close.
import { find } from './text.js';

const [search, facts] = ['#prefix', '#facts'].map(find);
const links = () => [...document.querySelectorAll('#list tbody a')];

export function setUpKeys(close) {
	document.addEventListener('keydown', (event) => {
		if (event.ctrlKey || event.metaKey || event.altKey || find('dialog[open]')) return;
		const typing = event.target === search;
		const walking = event.target.matches('#list tbody a');
		if (event.key === '/' && !typing) search.select();
		else if (event.key === 'Escape' && typing && search.value) empty();
		else if (event.key === 'Escape' && !facts.hidden) close();
		else if (event.key === 'ArrowDown' && typing) links()[0]?.focus();
		else if ((event.key === 'ArrowDown' || event.key === 'ArrowUp') && walking) walk(event.target, event.key);
		else return;
		event.preventDefault();
	});
}

// focusName goes to a name's row, or to the search if it is not in the list.
export function focusName(name) {
	(links().find((link) => link.closest('tr').dataset.name === name) ?? search).focus();
}

function empty() {
	search.value = '';
	search.dispatchEvent(new Event('input'));
}

function walk(from, key) {
	const all = links();
	const to = all.indexOf(from) + (key === 'ArrowDown' ? 1 : -1);
	(to < 0 ? search : all[to])?.focus();
}
