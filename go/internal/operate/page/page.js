// The page: what is looked at stands in the URL's fragment, and one loop asks for it. Polls never overlap.
import { Refused, Trouble } from './api.js';
import { chosenCache, loadCaches, showCaches, troubled } from './caches.js';
import { forgetFacts, loadFacts, showFacts } from './facts.js';
import { focusName, setUpKeys } from './keys.js';
import { loadList, prefixOf, setUpPages, showList } from './list.js';
import { lists } from './lists.js';
import { clock, count, find, node, now, say, span, tellTimes } from './text.js';
import { setUpWrites, showOutcome } from './writes.js';

const pace = 5_000; // milliseconds between polls; a slow service is asked less often
const longest = 60_000; // between polls that fail

const wanted = { cache: '', list: '', prefix: '', name: '' };

let round = null; // the AbortController of the poll under way
let timer = 0;
let nextAt = 0; // when it polls again
let failures = 0; // in a row
let seen = 0; // when everything was last answered

// --- What is looked at

// readFragment returns what was looked at before.
function readFragment() {
	const fragment = new URLSearchParams(location.hash.slice(1));
	const before = { ...wanted };
	for (const key of Object.keys(wanted)) wanted[key] = fragment.get(key)?.slice(0, 1000) ?? '';
	if (!lists[wanted.list]) wanted.list = '';
	find('#stray').hidden = true;
	if (before.name !== wanted.name || before.cache !== wanted.cache) forgetFacts();
	return before;
}

function link(changes) {
	return `#${new URLSearchParams(Object.entries({ ...wanted, ...changes }).filter(([, value]) => value))}`;
}

// look changes what is looked at, without a step in the history.
function look(changes) {
	history.replaceState(null, '', link(changes));
	readFragment();
	poll(loadWantedList);
}

// settle fills in what the fragment leaves open, once the caches are known.
function settle() {
	const cache = chosenCache(wanted.cache);
	if (!cache) throw new Trouble('No cache is running.');
	if (wanted.cache && wanted.cache !== cache.id) find('#stray').hidden = false;
	wanted.cache = cache.id;
	wanted.list ||= wanted.prefix ? 'memory' : cache.failing_names ? 'failing' : 'ending';
	return cache;
}

// --- The loop

const loadWantedCaches = async (signal) => {
	try {
		await loadCaches(signal);
	} catch (error) {
		throw error instanceof Refused ? new Trouble('The service is not here', error.message) : error;
	}
	settle();
};
const loadWantedList = (signal) => loadList(wanted, signal);
const loadWantedFacts = (signal) => loadFacts(wanted, signal);

// poll asks for everything, first for what somebody waits for. A poll under way is cut off.
async function poll(first = loadWantedCaches) {
	clearTimeout(timer);
	round?.abort();
	round = new AbortController();
	const { signal } = round;
	const begin = performance.now();
	try {
		const order = [seen ? first : loadWantedCaches, loadWantedFacts, loadWantedList, loadWantedCaches];
		for (const load of new Set(order)) {
			await load(signal);
			if (signal.aborted) return;
			if (seen) show();
		}
		[failures, seen] = [0, now()];
		show();
		wait(Math.max(pace, 4 * (performance.now() - begin)));
	} catch (error) {
		if (!signal.aborted) fail(error);
	}
}

function wait(milliseconds) {
	nextAt = Date.now() + milliseconds;
	if (!document.hidden) timer = setTimeout(poll, milliseconds);
}

function fail(error) {
	failures++;
	if (!(error instanceof Trouble)) console.error(error);
	say(find('#trouble-what'), error instanceof Trouble ? error.message : 'The answer makes no sense');
	say(find('#trouble-why'), error instanceof Trouble ? error.why : error.message);
	if (error.final) nextAt = Infinity;
	else wait(Math.min(pace * 2 ** (failures - 1), longest));
	find('#trouble').hidden = false;
	tick();
}

// --- What is seen

function show() {
	const cache = settle();
	find('#trouble').hidden = failures === 0;
	document.title = [troubled(), 'cached_http'].filter(Boolean).join(' – ');
	showCaches(cache, (id) => look({ cache: id }));
	showLists(cache);
	showList(wanted, cache, (name) => link({ name }));
	showFacts(wanted);
	showOutcome(wanted);
	if (document.activeElement !== find('#prefix')) find('#prefix').value = wanted.prefix;
	find('#close').href = link({ name: '' });
	tick();
}

function showLists(cache) {
	const place = find('#lists');
	if (!place.querySelector('input')) place.append(...Object.keys(lists).map(choice));
	for (const [list, { counter }] of Object.entries(lists)) {
		const label = place.querySelector(`.${list}`);
		label.querySelector('input').checked = list === wanted.list;
		label.hidden = list === 'disk' && !cache.cache_dir && wanted.list !== 'disk';
		say(label.querySelector('.count'), counter && cache[counter] ? count(cache[counter]) : '');
	}
}

function choice(list) {
	const onchange = () => look({ list, prefix: list === 'ending' ? '' : wanted.prefix });
	const title = node('span', {}, lists[list].title, ' ', node('span', { className: 'count' }));
	const radio = node('input', { type: 'radio', name: 'list', value: list, onchange });
	return node('label', { className: list }, radio, title);
}

// tick goes on saying how old and how far off things are, while the server is silent, too.
function tick() {
	tellTimes();
	const broken = failures > 0;
	const left = Math.ceil((nextAt - Date.now()) / 1000);
	const next = left > 0 ? `Next try in ${left} s.` : 'Trying…';
	find('#live').classList.toggle('broken', broken);
	say(find('#live-text'), broken ? age() : seen ? `Live ${clock(seen)}` : 'Loading');
	say(find('#trouble-next'), nextAt === Infinity ? 'Not tried again by itself.' : next);
}

function age() {
	return seen ? `As of ${clock(seen)}, ${span((now() - seen) / 1000)} ago` : 'No answer yet';
}

// --- What people do

addEventListener('hashchange', () => {
	const before = readFragment();
	const other = before.name !== wanted.name || before.cache !== wanted.cache;
	if (seen) show();
	if (wanted.name && wanted.name !== before.name) find('#facts-name').focus();
	if (!wanted.name && before.name) focusName(before.name);
	poll(other ? loadWantedFacts : loadWantedList);
});

document.addEventListener('visibilitychange', () => {
	clearTimeout(timer);
	if (!document.hidden && nextAt !== Infinity) poll();
});

let typed = 0;
const searched = () => {
	clearTimeout(typed); // it must not come between a new fragment and its event
	const prefix = find('#prefix').value;
	return { prefix, list: wanted.list === 'ending' && prefix ? 'memory' : wanted.list };
};
find('#prefix').oninput = () => {
	clearTimeout(typed);
	typed = setTimeout(() => look(searched()), 200);
};
find('#search').onsubmit = (event) => {
	event.preventDefault();
	const name = prefixOf(find('#prefix').value);
	if (name) location.hash = link({ ...searched(), name });
};
find('#try').onclick = () => poll();
setUpPages(() => poll(loadWantedList));
setUpKeys(() => (location.hash = link({ name: '' })));
setUpWrites(() => wanted, () => poll(loadWantedFacts));

readFragment();
setInterval(() => document.hidden || tick(), 1000);
poll();
