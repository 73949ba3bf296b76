"""Instructions for the 50 tasks: the canonical wording first, then paraphrases."""

_TEXT = """
assembly
    lift the ring tool by its handle and slip the ring over the peg
    thread the tool's round end onto the upright peg
    hang the ring on the peg
    take the handled ring and drop it down over the post
basketball
    drop the ball through the hoop
    dunk the orange ball into the basket
    carry the basketball above the ring and let it fall in
    score by putting the ball in the net
bin-picking
    move the cube from the red bin to the blue bin
    take the green block out of the red box and put it in the blue one
    transfer the cube into the other bin
    empty the red container: its block belongs in the blue one
box-close
    put the lid on the box
    close the box with its cover
    pick the cover up by its handle and set it on the open box
    cover the wooden box
button-press-topdown
    press the button down from above
    push the button on top of the block downwards
    come from above and push the red button in
    hit the upward facing button
button-press-topdown-wall
    reach over the wall and press the button down from above
    get past the barrier, then push the top button downwards
    press the upward facing button beyond the wall
    without touching the wall, push down the button that it hides
button-press
    press the button on the front of the block
    push the forward facing button in
    poke the red button on the box until it is in
    hit the button from the front
button-press-wall
    reach around the wall and press the button behind it
    get past the barrier and push the front button in
    push the button that the wall is shielding
    avoid the wall and press the button on the box
coffee-button
    press the button of the coffee machine
    start the coffee machine
    push the brewing button in
    turn the espresso maker on by its button
coffee-pull
    pull the mug away from the coffee machine
    take the cup out from under the spout
    drag the mug off the coffee maker to the goal
    bring the coffee cup back towards the robot
coffee-push
    push the mug under the coffee machine
    place the cup beneath the spout
    slide the mug to the coffee maker
    get the cup ready to be filled at the machine
dial-turn
    turn the dial
    rotate the knob
    twist the round control
    spin the dial round
disassemble
    lift the ring tool off the peg
    pull the tool up until its ring is free of the post
    take the handled ring off the upright peg
    undo the assembly: remove the ring from the peg
door-close
    close the door of the cabinet
    push the open door shut
    swing the safe's door closed
    shut the door
door-lock
    lock the door by turning its lock
    rotate the bolt to the locked side
    secure the door
    turn the latch on the door so that it locks
door-open
    open the door of the cabinet by its handle
    pull the door open
    swing the safe's door wide open
    grab the handle and get the door open
door-unlock
    unlock the door by turning its lock
    rotate the bolt to the unlocked side
    release the lock on the door
    turn the latch on the door so that it unlocks
hand-insert
    put the block and the hand into the hole in the table
    lower the brown block down through the opening
    reach into the hole with the block
    insert the block into the gap in the table top
drawer-close
    close the drawer
    push the open drawer in
    shut the green drawer
    slide the drawer back until it is closed
drawer-open
    open the drawer
    pull the drawer out by its handle
    slide the green drawer towards the robot
    get the drawer open
faucet-open
    turn the faucet on
    rotate the tap's handle to open it
    open the tap
    swing the lever of the faucet to let the water run
faucet-close
    turn the faucet off
    rotate the tap's handle to close it
    close the tap
    swing the lever of the faucet to stop the water
hammer
    hit the nail with the hammer
    take the hammer and drive the nail into the wood
    hammer the nail in
    knock the nail into the box using the hammer
handle-press-side
    press the handle down, reaching in from the side
    push down the lever that points sideways
    from the side, force the handle to its lower end
    lower the sideways handle
handle-press
    press the handle down
    push the lever to its lower end
    lower the handle
    bear down on the handle until it stops
handle-pull-side
    pull the handle up, reaching in from the side
    raise the lever that points sideways
    from the side, lift the handle to its upper end
    lift the sideways handle
handle-pull
    pull the handle up
    raise the lever to its upper end
    lift the handle
    get under the handle and move it upwards
lever-pull
    pull the lever up
    raise the lever all the way
    swing the lever until it points up
    push the arm of the lever upwards
pick-place-wall
    carry the puck over the wall to the goal
    pick up the red cylinder and bring it past the barrier to the marked point
    lift the puck across the wall
    take the puck to the target behind the wall
pick-out-of-hole
    take the puck out of the hole and bring it to the goal
    get the red cylinder out of the hollow
    lift the puck up from the hole
    fetch the puck from the hole and hold it at the marked point
pick-place
    pick up the puck and bring it to the goal
    carry the red cylinder to the marked point
    grasp the puck and hold it at the target
    move the puck through the air to the goal
plate-slide
    slide the plate forward into the goal
    push the disc straight ahead between the posts
    shove the round plate into the net in front
    make the plate slide away from the robot, into the goal
plate-slide-side
    slide the plate sideways into the goal
    push the disc to the side, between the posts
    shove the round plate into the net beside it
    move the plate across the table into the goal
plate-slide-back
    slide the plate back out of the goal, towards the robot
    draw the disc out of the net and back
    pull the round plate from between the posts
    bring the plate back along the table, out of the goal
plate-slide-back-side
    slide the plate sideways out of the goal
    draw the disc out of the net to the side
    pull the round plate sideways from between the posts
    get the plate out of the goal by sliding it across the table
peg-insert-side
    insert the peg into the hole from the side
    push the green stick into the opening of the block
    pick up the peg and slide it sideways into the hole
    plug the peg into the box
peg-unplug-side
    pull the peg out of the hole sideways
    unplug the stick from the block
    draw the peg out of the box
    remove the peg from its socket
soccer
    push the ball into the goal
    score with the football
    roll the ball between the posts
    knock the soccer ball into the net
stick-push
    take the stick and push the container with it
    use the blue stick to shove the thermos to the goal
    grasp the stick, then push the bottle with its end
    push the container using the stick as a tool
stick-pull
    take the stick and pull the container with it
    use the blue stick to drag the thermos to the goal
    hook the bottle's handle with the stick and pull
    pull the container using the stick as a tool
push
    push the puck to the goal
    slide the red cylinder along the table to the marked point
    move the puck over the table top to the target
    shift the puck to its goal without lifting it
push-wall
    push the puck around the wall to the goal
    slide the red cylinder past the barrier to the marked point
    get the puck to the target behind the wall
    move the puck along the table, avoiding the wall
push-back
    push the block back towards the robot to the goal
    draw the block back to the marked point
    slide the block nearer to the robot
    bring the block back along the table to its target
reach
    move the hand to the goal
    reach for the red point in the air
    bring the fingers to the marked place
    touch the target with the gripper
reach-wall
    move the hand past the wall to the goal
    reach for the red point behind the barrier
    avoid the wall and bring the fingers to the marked place
    touch the target beyond the wall with the gripper
shelf-place
    put the block on the shelf
    pick up the blue cube and set it on the shelf
    place the cube inside the shelf at the goal
    store the block on its shelf
sweep-into
    sweep the block into the hole
    slide the block along the table until it drops into the opening
    push the cube down the hole in the table
    clear the block away into the hole
sweep
    sweep the block off the table
    push the block over the edge
    clear the table of the block
    slide the cube sideways until it falls down
window-open
    open the window
    slide the window open by its handle
    push the window's handle to the open side
    let some air in: open the sliding window
window-close
    close the window
    slide the window shut by its handle
    push the window's handle to the closed side
    keep the air out: shut the sliding window
"""


def _read(text: str) -> dict[str, tuple[str, ...]]:
    """Return what stands indented under each name."""
    wordings: dict[str, tuple[str, ...]] = {}
    name = ""
    for line in text.strip().splitlines():
        if line.startswith(" "):
            wordings[name] = (*wordings.get(name, ()), line.strip())
        else:
            name = line
    return wordings


WORDINGS = _read(_TEXT)
"""Name of a task, Meta-World's without its version → its wordings."""
