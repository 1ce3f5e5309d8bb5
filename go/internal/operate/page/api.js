// Questions to the service beside this page. What goes wrong is said in words, as one of two kinds of errors.
import { now, setClock, visible } from './text.js';

const patience = 10_000; // milliseconds for an answer
const here = location.origin + location.pathname; // document.baseURI may have a login in it, which fetch refuses

// Trouble: the service can't be asked. All that is shown grows old.
export class Trouble extends Error {
	constructor(what, why = '', { final = false } = {}) {
		super(what);
		this.why = why;
		this.final = final; // asking again by itself is of no use
	}
}

// Refused: this question was answered with an error; others may be fine.
export class Refused extends Error {
	constructor(status, message) {
		super(message);
		this.status = status;
	}
}

// get asks for JSON. Empty parameters are left out.
export async function get(path, parameters, signal) {
	const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== ''));
	const response = await ask(query.size ? `${path}?${query}` : path, {}, patience, signal);
	return parsed(response.text);
}

// post sends JSON and returns the values of the answer's lines.
export async function post(path, body, limit) {
	const request = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) };
	const response = await ask(path, request, limit);
	return response.text.split('\n').filter((line) => line.trim() !== '').map(parsed);
}

async function ask(url, request, limit, signal) {
	const late = AbortSignal.timeout(limit);
	const options = { cache: 'no-store', redirect: 'manual', signal: signal ? AbortSignal.any([signal, late]) : late };
	let response, text;
	try {
		response = await fetch(new URL(url, here), { ...request, ...options });
		text = await response.text();
	} catch (error) {
		if (signal?.aborted) throw error;
		if (late.aborted) throw new Trouble('The server does not answer', `(no answer within ${limit / 1000} s).`);
		throw new Trouble('The server can’t be reached', '(no connection, or it broke off).');
	}
	setClock(response.headers.get('Date'));
	if (response.ok) return { text, at: now() };
	throw failure(response, text);
}

function failure(response, text) {
	if (response.type === 'opaqueredirect') {
		return new Trouble('The server sends us elsewhere', '(to a login?). Reload the page.', { final: true });
	}
	const reason = said(text) || response.statusText;
	switch (response.status) {
		case 401:
			return new Trouble('The server wants a login', '(401). Reload the page to give one.', { final: true });
		case 403:
			return new Trouble('The server does not let us ask', `(403${reason && `: ${reason}`}).`);
		case 400:
		case 404:
		case 405:
		case 413:
			return new Refused(response.status, reason || `The server answered ${response.status}.`);
		case 503:
			return new Trouble('Not available', `(503${reason && `: ${reason}`}).`);
		default:
			return new Trouble('The server failed', `(${response.status}${reason && `: ${reason}`}).`);
	}
}

// said is the reason in an error's body, if it is the service's and not some proxy's page.
function said(text) {
	try {
		return visible(JSON.parse(text).error ?? '').slice(0, 500);
	} catch {
		return '';
	}
}

function parsed(text) {
	try {
		return JSON.parse(text);
	} catch {
		throw new Trouble('The answer makes no sense', '(no JSON: a proxy’s page, or a login?).');
	}
}
