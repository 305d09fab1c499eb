"""Names that `wide.py` leaves out, found by looking at sheets and lists of what it had taken."""

# a drawing whose name holds one of these shows a program's button or a sign
BUTTONS = set(
    """
    access accounting activity add ai airplanemode align allowances android antenna app apps
    arrow award back border bottom brand bring browser business button cancel case chart check
    clipboard cloud code cog commerce content control crying crypto data database delete design
    device direction directions disable distribute document dot dots down earth edit email empty
    enable end export face fast file filter finger fitness flag flip focus fold folder form
    format forward front fullscreen gallery gender git globe google graph grinning hide
    horizontal import info input insurance kissing language layer layout left leftwards list
    live loading local location lock logo mail man mans medical medium men mens menu message
    minus mode monetization monitor move movie movies natural non not octagon off oncoming
    output page paginate panel panorama people person phone play plus pushing ranking rating
    redo refresh remove reset right rightwards safety saving screen screenshot search send
    setting settings shape share shipment show sidebar single skip small smiling sort specialty
    square state step switch taking text tic toggle top tour transition trip ui undo up upload
    user vector vectors vertical video view warning weather window wireless woman women
    workspace zodiac zoom
    """.split()
)
# nouns that sets use for a program's doings, or of which WordNet's first meaning is another one
LEFT_OUT = set(
    """
    abs acoustic administrator adobe affiliate agents air amazon amex angle area asclepius
    assembly attractions automatic avatar azimuth base binary blackberry block blogger bootstrap
    browsers buffer cardholder character chrome client clone cod collage colors combine
    commodity component composer compress consignment copilot corner counter crop css cursor
    dashboard deck delicious delta democrat deposit detour developer diagonal dividers dock
    docker doge drag draw dry duplicate edge editor endpoint equal ethernet exchange favourite
    feed field fighter filters finder firebase frame framer friends fry gateway glyphs gps grab
    guide hail hangouts hash haze hole host hub inpatient inside internet ios ipod java join
    labs lan landing landscape latitude launch layers lego loader local longitude loop mac
    margin marker mate material materials max maya member messenger mickey midi mistral mix
    mobile more muslim mute narrows navigator neutral node north notch notches number opacity
    open organic origin outlet outline outpatient outside padding pager pathfinder picker pivot
    place placeholder plain planner plastic platform pod position post pressure private product
    proxy python radial radical rays reader record recording repository republican result round
    route seam segment separator setup shake shortcut shrink slack slide slider sliders solid
    south spam sperm spline steppers straight structure styler suspension swallow swift swot
    system tangent temp thick tinder tips track transparency tux unknown upgrade users vagina
    variable vip vitals voucher west white widget wifi workspaces wrap yahoo
    """.split()
)
# names of several words that are no thing's, or have the thing first ("lamp desk")
COMPOUNDS = set(
    " ".join(
        """
        account balance wallet; account child; adobe illustrator; airport shuttle; alarm
        smoke; alert triangle; alphabet korean; alphabet thai; archive clock; archive
        drawer; assistive listening systems; asterisk simple; auto awesome mosaic; av timer;
        bag suitcase; base station; baseball bat ball; basket star; battery saver; bed bunk;
        bell concierge; bell electric; bell pin; bezier curve; bill cross; black nib; book
        bookmark; book clock; book headphones; book key; book reader; book star; bookmark
        star; bottle wine; bowl rice; brain circuit; brick wall shield; brightness auto;
        building bank; building factory; building lighthouse; building mosque; building
        office; building skyscraper; building store; calendar clock; calendar star; call me
        hand; car garage; car suv; collections bookmark; crane tower; credit card clock; cup
        soda; curly braces; cursor hand; d glasses; danger triangle; day snow; desktop
        tower; digital ocean; door exit; download computer; drag drop; draw polygon;
        exclamation triangle; family adult child; flame kindling; flash auto; flower lotus;
        flower tulip; food apple; fork knife; fruit watermelon; glass cocktail; glass
        martini; glass water; green house; grid guides; hand card; hand fist; hand helping;
        hand lizard; hand metal; hand platter; hand scissors; hand spock; hand two fingers;
        hat wizard; head side mask; headset mic; heart bolt; heart crack; heart key; heat
        map; home chimney; home shield; home simple; house plug; id card lanyard; image in
        picture; inbox archive; incoming envelope; instant mix; join bevel; keyboard
        backspace; lamp ceiling; lamp desk; large white; lasso polygon; lasso tool; leaf
        maple; level slider; license third party; lift gate; linked paperclips; loader
        pinwheel; locked with key; locked with pen; map pin house; map pin pen; map star;
        mark pen; markunread mailbox; masks theater; master card; media library; merge
        cells; mind map; moon fog; moon stars; moon waning crescent; moon waxing crescent;
        mountain snow; mouse scroll; mouse scroll wheel; mri pet; muted speaker; nest
        thermostat; new releases; no meeting room; no mobile phones; no pedestrians;
        notebook pen; notifications active; offline bolt; older adult; outbox tray; password
        clock; peace hand; photo library; picture in picture; poo storm; potable water;
        pouring liquid; probing cane; product hunt; rain heavy; record vinyl; restore from
        trash; rotate ccw key; rv truck; scan eye; scooter electric; shield cross; shield
        key; shield keyhole; shield moon; shield star; solar electricity; stack star; street
        road; suit spade; sun fog; sun snow; table eye; temperature celsius; temperature
        fahrenheit; temple buddhist; temple hindu; tent tree; thermometer snow; thermometer
        snowflake; thermometer sun; thermometer water; thermostat auto; ticket star; tickets
        plane; tree evergreen; tree palm; tropical storm tracks; truck electric; truck
        flatbed; truck monster; truck pickup; truck trailer; tv guide; two wheeler; u disk;
        umbrella beach; unreal engine; venus mars; virtual machine; visual studio; vpn key;
        vr cardboard; wand stars; wash machine; wave triangle; waves ladder; wb auto; weight
        hanging; wifi pen; wind electricity; wind snow; wiper wash; wordpress simple
        """.split()
    ).split("; ")
)
# places of openclipart without drawings of things
PLACES = set(
    "stars flags patterns gradients logos cards icons arrows jigsaw flowchart duplicates".split()
)
