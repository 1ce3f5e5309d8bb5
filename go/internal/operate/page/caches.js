// The caches: how they are, what they hold of what they may, and which one is looked at.
import { get } from './api.js';
import { count, counted, moment, node, rebuild, size, visible } from './text.js';

const place = document.querySelector('#caches');
const day = 86400;

let caches = [];

export async function loadCaches(signal) {
	caches = await get('caches', {}, signal);
}

// chosenCache is the one with this id; failing that, one in trouble, or else the first.
export function chosenCache(id) {
	return caches.find((cache) => cache.id === id) ?? caches.find(inTrouble) ?? caches[0];
}

export function troubled() {
	if (caches.some((cache) => cache.breaker_open)) return 'Breaker open';
	const failing = caches.reduce((sum, cache) => sum + cache.failing_names, 0);
	return failing ? `${count(failing)} failing` : '';
}

// showCaches shows each as a card. Several are a group of radio buttons.
export function showCaches(chosen, choose) {
	place.ariaBusy = 'false';
	const ids = caches.map((cache) => cache.id).join();
	if (place.dataset.ids !== ids) {
		place.dataset.ids = ids;
		place.querySelectorAll('.cache').forEach((card) => card.remove());
		place.append(...caches.map((cache) => card(cache, caches.length > 1, choose)));
	}
	for (const cache of caches) {
		const card = place.querySelector(`#cache-${CSS.escape(cache.id)}`);
		const radio = card.querySelector('input');
		if (radio) radio.checked = cache === chosen;
		card.classList.toggle('chosen', cache === chosen);
		rebuild(card.querySelector('.who'), [cache.backend, cache.cache_dir], () => who(cache));
		rebuild(card.querySelector('.how'), [cache.breaker_open, cache.failing_names], () => how(cache));
		rebuild(card.querySelector('.figures'), cache === chosen && cache, () => (cache === chosen ? figures(cache) : []));
	}
}

function card(cache, several, choose) {
	const radio = several ? node('input', { type: 'radio', name: 'cache', value: cache.id, onchange: () => choose(cache.id) }) : null;
	const content = ['who', 'how', 'figures'].map((className) => node('span', { className }));
	return node(several ? 'label' : 'div', { className: 'cache', id: `cache-${cache.id}` }, radio, ...content);
}

function inTrouble(cache) {
	return cache.breaker_open || cache.failing_names > 0;
}

function who(cache) {
	const backend = node('bdi', { className: 'backend' }, visible(cache.backend));
	return [backend, node('span', { className: 'aside' }, cache.cache_dir ? node('bdi', {}, visible(cache.cache_dir)) : 'in memory only')];
}

function how(cache) {
	const failing = cache.failing_names ? `${counted(cache.failing_names, 'name')} failing` : 'No name failing';
	if (!cache.breaker_open) return node('span', { className: cache.failing_names ? 'bad' : 'aside' }, failing);
	const meaning = `The backend is down; one probe at a time is let through. ${failing}.`;
	return [node('strong', { className: 'bad' }, 'Breaker open'), ' ', node('span', { className: 'aside' }, meaning)];
}

function figures(cache) {
	const { limits } = cache;
	return [
		metered('Memory', cache.entry_bytes, limits.max_memory, counted(cache.entries, 'certificate')),
		cache.cache_dir ? metered('Disk', cache.disk_bytes, limits.max_disk, counted(cache.disk_entries, 'certificate')) : null,
		figure('Unknown names', count(cache.negatives), `in up to ${size(limits.max_negative_memory)}`),
		figure('Requests at once', `up to ${count(limits.max_concurrent_fetches)}`, ''),
		cache.first_bridge_end ? figure('Bridge ends', moment(cache.first_bridge_end, { soon: day }), 'first in demand') : null,
		cache.first_certificate_end ? figure('Certificate ends', moment(cache.first_certificate_end, { soon: 3 * day }), 'first in demand') : null,
	];
}

function figure(title, value, aside) {
	return node('span', { className: 'figure' }, node('span', { className: 'title' }, title), node('span', { className: 'value' }, value),
		node('span', { className: 'aside' }, aside));
}

function metered(title, used, limit, aside) {
	const told = figure(title, `${size(used)} of ${size(limit)}`, aside);
	const meter = node('meter', { min: 0, max: Math.max(limit, 1), value: used, ariaLabel: `${title}: ${size(used)} of ${size(limit)}` });
	told.querySelector('.value').after(meter);
	return told;
}
