/** A page of a console (MENU) or an action of it (FUNCTION). */
export interface Menu {
  id: string
  code: string
  name: string
  type: MenuType
  parentId?: string | undefined
}

export const menuTypes = ['MENU', 'FUNCTION'] as const
export type MenuType = (typeof menuTypes)[number]

export interface MenuNode extends Menu {
  children: MenuNode[]
}

/** The menus of these ids with everything above them, in the order of `all`. */
export function withParents(all: readonly Menu[], ids: Iterable<string>): Menu[] {
  const byId = new Map(all.map((menu) => [menu.id, menu]))
  const taken = new Set<string>()
  for (const id of ids) {
    // A menu taken before has its parents already; that also ends a circle.
    for (let menu = byId.get(id); menu && !taken.has(menu.id); menu = parentOf(menu, byId)) taken.add(menu.id)
  }
  return all.filter(({ id }) => taken.has(id))
}

/** Children stand below their parents; where a parent is gone they stand at the top, so that they can still be seen. */
export function toTree(menus: readonly Menu[]): MenuNode[] {
  const nodes = new Map(menus.map((menu) => [menu.id, { ...menu, children: [] as MenuNode[] }]))
  const roots: MenuNode[] = []
  for (const node of nodes.values()) {
    const parent = node.parentId === undefined ? undefined : nodes.get(node.parentId)
    if (parent) parent.children.push(node)
    else roots.push(node)
  }
  return roots
}

function parentOf(menu: Menu, byId: Map<string, Menu>): Menu | undefined {
  return menu.parentId === undefined ? undefined : byId.get(menu.parentId)
}
