// Addresses within the page.
import { base, query } from "./api.js";

const e = encodeURIComponent;

/** The page of one saga. An id of dots alone would be taken for a folder: it goes into the query. */
export function sagaPath(saga, id) {
  return /^\.+$/.test(id) ? `/sagas/${e(saga)}${query({ id })}` : `/sagas/${e(saga)}/${e(id)}`;
}

export function sagaLink(saga, id) {
  return base + sagaPath(saga, id);
}

export function listLink(params) {
  return `${base}/sagas${query(params)}`;
}

export function definitionLink(saga, version) {
  return `${base}/definitions/${e(saga)}/${e(version)}`;
}
